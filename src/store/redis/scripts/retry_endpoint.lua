-- Makes deliveries of an endpoint that wait for their next attempt due at once, each with a new schedule.
--
-- KEYS  1 due, 2 claims, 3 failed, 4 health
-- ARGV  1 prefix of the node's keys, 2 endpoint, 3 number of queues to skip, 4 limit of queues to visit
-- Returns {number of queues visited, number of them that still wait}.
--
-- A queue still waits if its attempt is in progress, or if it is held behind a parked delivery, which releases it.
local prefix, endpoint = ARGV[1], ARGV[2]
local skip, most = tonumber(ARGV[3]), tonumber(ARGV[4])
local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
if skip == 0 then
  attempt('HDEL', KEYS[4], endpoint .. ':bad', endpoint .. ':err')
end
local queues = on_queues(KEYS[1], endpoint, 'ZRANGE', '(' .. now, '+inf', 'BYSCORE', 'LIMIT', skip, most)
local waiting, app = 0, nil
for _, queue in ipairs(queues) do
  local has_failed = replace('HEXISTS', KEYS[3], queue) == 1
  if not has_failed or replace('HEXISTS', KEYS[2], queue) == 1 then
    waiting = waiting + 1
  else
    replace('HDEL', KEYS[3], queue)
    redis.call('ZADD', KEYS[1] .. ':' .. endpoint, now, queue)
    if not app then
      local head = attempt('LINDEX', prefix .. 'queue:' .. queue, 0)
      app = head and app_of(attempt('HGET', prefix .. 'delivery:' .. endpoint .. ':' .. head, 'm'))
    end
  end
end
if app then
  refresh_due(KEYS[1], app, endpoint)
end
return { #queues, waiting }
