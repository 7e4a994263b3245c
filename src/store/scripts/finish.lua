-- Ends a claim.
--
-- KEYS  1 ready, 2 claims, 3 failed, 4 list of the queue, 5 dead, 6 list of the queue that its head is parked on
-- ARGV  1 name of the queue, 2 token, 3 'delivered' | 'retry' | 'park' | 'dead', 4 ms until it is tried again,
--       5 how many dead to keep, 6 name of the queue to park it on, 7 ms until those behind it need not wait any more
-- Answers -1 when the claim is no longer this one, else how many of the dead were dropped.
-- While a cluster moves the slot, what is emptied here cannot be touched again: it would be broken off half-way.
-- Then not all of two keys are here, one of which never is anywhere, and that is an error.
if type(redis.pcall('EXISTS', KEYS[1], KEYS[1] .. '#')) == 'table' then
  return redis.error_reply('TRYAGAIN the slot is being moved')
end
local queue = ARGV[1]
if redis.call('HGET', KEYS[2], queue) ~= ARGV[2] then
  return -1
end
redis.call('HDEL', KEYS[2], queue)
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if ARGV[3] == 'retry' or ARGV[3] == 'park' then
  local times, since = string.match(redis.call('HGET', KEYS[3], queue) or '0', '^(%d+) ?(%d*)$')
  local failed = string.format('%.0f %.0f', (tonumber(times) or 0) + 1, tonumber(since) or now)
  local again = string.format('%.0f', now + ARGV[4])
  if ARGV[3] == 'retry' then
    redis.call('HSET', KEYS[3], queue, failed)
    redis.call('ZADD', KEYS[1], again, queue)
    return 0
  end
  redis.call('HDEL', KEYS[3], queue)
  local head = redis.call('LPOP', KEYS[4])
  if head then
    redis.call('RPUSH', KEYS[6], head)
    redis.call('HSET', KEYS[3], ARGV[6], failed)
    redis.call('ZADD', KEYS[1], again, ARGV[6])
  end
  -- Also when nothing is behind it: what comes until then waits, too.
  redis.call('ZADD', KEYS[1], string.format('%.0f', now + ARGV[7]), queue)
  return 0
end
redis.call('HDEL', KEYS[3], queue)
local head = redis.call('LPOP', KEYS[4])
if redis.call('LLEN', KEYS[4]) == 0 then
  redis.call('ZREM', KEYS[1], queue)
else
  redis.call('ZADD', KEYS[1], string.format('%.0f', now), queue)
end
if ARGV[3] ~= 'dead' or not head then
  return 0
end
local dropped = redis.call('RPUSH', KEYS[5], head) - tonumber(ARGV[5])
if dropped <= 0 then
  return 0
end
redis.call('LTRIM', KEYS[5], dropped, -1)
return dropped
