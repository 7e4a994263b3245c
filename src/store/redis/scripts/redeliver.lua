-- Makes a delivery due at once.
--
-- KEYS  1 due, 2 claims, 3 failed, 4 the delivery
-- ARGV  1 prefix of the node's keys, 2 endpoint, 3 id
-- Returns 1, or 0 if it is not kept.
local prefix, endpoint, id = ARGV[1], ARGV[2], ARGV[3]
local found = redis.call('HMGET', KEYS[4], 's', 'p', 'q', 'm')
local status, position, queue, app = found[1], found[2], found[3], app_of(found[4])
if not status or not app then
  return 0
end
local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
local own = queue .. '#' .. id
if status == 'pending' then
  -- The head of a queue becomes due, unless its attempt is in progress.
  for _, name in ipairs({ queue, own }) do
    if redis.call('LINDEX', prefix .. 'queue:' .. name, 0) == id and redis.call('HEXISTS', KEYS[2], name) == 0 then
      set_due(KEYS[1], app, endpoint, name, now)
    end
  end
  return 1
end
redis.call('ZREM', prefix .. 'log:' .. status .. ':' .. endpoint, position)
redis.call('ZADD', prefix .. 'log:pending:' .. endpoint, 0, position)
if status == 'delivered' then
  local bytes = bytes_of_delivery(KEYS[4])
  count_delivery(prefix, endpoint, bytes)
  count_history(prefix, endpoint, -bytes)
end
redis.call('HSET', KEYS[4], 's', 'pending')
redis.call('PERSIST', KEYS[4])
-- Parked: the deliveries after it have been sent long ago, so none waits for it.
redis.call('RPUSH', prefix .. 'queue:' .. own, id)
redis.call('HDEL', KEYS[3], own)
set_due(KEYS[1], app, endpoint, own, now)
return 1
