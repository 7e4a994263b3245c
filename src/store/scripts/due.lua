-- When queues are due, in two steps: a sorted set of endpoints, as `<app>:<endpoint>`, by when the first of their queues is
-- due, and for each endpoint a sorted set of its queues under `<key of the former>:<endpoint>`. So an endpoint that has all
-- its places is passed over in one step, however many of its queues are due.

-- Writes down when the first queue of an endpoint is due.
local function refresh_due(due, app, endpoint)
  local first = redis.call('ZRANGE', due .. ':' .. endpoint, 0, 0, 'WITHSCORES')
  if first[1] then
    redis.call('ZADD', due, first[2], app .. ':' .. endpoint)
  else
    redis.call('ZREM', due, app .. ':' .. endpoint)
  end
end

local function set_due(due, app, endpoint, queue, at)
  redis.call('ZADD', due .. ':' .. endpoint, at, queue)
  refresh_due(due, app, endpoint)
end

-- Only if the queue is not there: its head knows better.
local function set_due_if_new(due, app, endpoint, queue, at)
  if redis.call('ZADD', due .. ':' .. endpoint, 'NX', at, queue) == 1 then
    redis.call('ZADD', due, 'LT', at, app .. ':' .. endpoint)
  end
end

local function remove_due(due, app, endpoint, queue)
  redis.call('ZREM', due .. ':' .. endpoint, queue)
  refresh_due(due, app, endpoint)
end

-- The app that a stored message is of; nil for what is no message.
local function app_of(message)
  return string.match(message or '', '^%["[^"]*","([^"]*)"')
end

