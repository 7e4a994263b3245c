-- The due times of queues, in two steps: a sorted set of endpoints, as `<app>:<endpoint>`, by the due time of their first
-- queue, and for each endpoint a sorted set of its queues under `<key of the former>:<endpoint>`. So an endpoint that has
-- all its permits is skipped in one step, however many of its queues are due.
--
-- A key of another type is moved aside (`foreign.lua`) and rebuilt: the queues of an endpoint from its pending deliveries,
-- each due at once, and the endpoints from those that have deliveries, each by its queues.

-- Returns the app of a stored message; nil if the value is not a message.
local function app_of(message)
  return string.match(message or '', '^%["[^"]*","([^"]*)"')
end

-- Calls `each` with the id and the key of every pending delivery of an endpoint until it returns a value, and returns that.
local function find_pending(due, endpoint, each)
  local prefix = string.match(due, '^[^}]*}:')
  for _, position in ipairs(attempt('ZRANGE', prefix .. 'log:pending:' .. endpoint, 0, -1) or {}) do
    local id = string.match(position, '^%d+:%d+:(.*)$')
    local answer = id and each(id, prefix .. 'delivery:' .. endpoint .. ':' .. id)
    if answer then
      return answer
    end
  end
end

local was_rebuilt = false

-- Runs a command on the queues of an endpoint.
local function on_queues(due, endpoint, command, ...)
  local key = due .. ':' .. endpoint
  return rebuild_foreign(function()
    was_rebuilt = true
    local lists = string.match(due, '^[^}]*}:') .. 'queue:'
    find_pending(due, endpoint, function(id, record)
      local queue = attempt('HGET', record, 'q')
      if queue then
        local own = queue .. '#' .. id
        redis.call('ZADD', key, 0, redis.call('EXISTS', lists .. own) == 1 and own or queue)
      end
    end)
  end, command, key, ...)
end

-- Runs a command on the endpoints that have queues.
local function on_due(due, command, ...)
  return rebuild_foreign(function()
    for _, endpoint in ipairs(attempt('HKEYS', string.match(due, '^[^}]*}:') .. 'bytes-deliveries') or {}) do
      local first = on_queues(due, endpoint, 'ZRANGE', 0, 0, 'WITHSCORES')
      local app = first[1] and find_pending(due, endpoint, function(_, record)
        return app_of(attempt('HGET', record, 'm'))
      end)
      if app then
        redis.call('ZADD', due, first[2], app .. ':' .. endpoint)
      end
    end
  end, command, due, ...)
end

-- Stores the due time of the first queue of an endpoint.
local function refresh_due(due, app, endpoint)
  local first = on_queues(due, endpoint, 'ZRANGE', 0, 0, 'WITHSCORES')
  if first[1] then
    on_due(due, 'ZADD', first[2], app .. ':' .. endpoint)
  else
    on_due(due, 'ZREM', app .. ':' .. endpoint)
  end
end

local function set_due(due, app, endpoint, queue, at)
  on_queues(due, endpoint, 'ZADD', at, queue)
  refresh_due(due, app, endpoint)
end

-- Sets the due time of a queue unless it has one, which its head determines.
local function set_due_if_new(due, app, endpoint, queue, at)
  if on_queues(due, endpoint, 'ZADD', 'NX', at, queue) == 1 or was_rebuilt then
    on_due(due, 'ZADD', 'LT', at, app .. ':' .. endpoint)
  end
end

local function remove_due(due, app, endpoint, queue)
  on_queues(due, endpoint, 'ZREM', queue)
  refresh_due(due, app, endpoint)
end

