-- Makes dead deliveries of an endpoint pending again, in their order.
--
-- KEYS  1 due
-- ARGV  1 prefix of the node's keys, 2 endpoint, 3 first position, 4 limit
-- Returns {number, next position ('' at the end)}.
local prefix, endpoint = ARGV[1], ARGV[2]
local dead, pending = prefix .. 'log:dead:' .. endpoint, prefix .. 'log:pending:' .. endpoint
local most = tonumber(ARGV[4])
local positions = attempt('ZRANGE', dead, '[' .. ARGV[3], '+', 'BYLEX', 'LIMIT', 0, most + 1) or {}
local next = positions[most + 1] or ''
local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
local count = 0
for n = 1, math.min(#positions, most) do
  local position = positions[n]
  local id = string.match(position, '^%d+:%d+:(.*)$')
  local record = prefix .. 'delivery:' .. endpoint .. ':' .. id
  local found = attempt('HMGET', record, 'q', 'm') or {}
  local queue, app = found[1], app_of(found[2])
  redis.call('ZREM', dead, position)
  if queue and app and attempt('ZCARD', pending) and attempt('LLEN', prefix .. 'queue:' .. queue) then
    redis.call('HSET', record, 's', 'pending')
    redis.call('ZADD', pending, 0, position)
    redis.call('RPUSH', prefix .. 'queue:' .. queue, id)
    set_due_if_new(KEYS[1], app, endpoint, queue, now)
    count = count + 1
  end
end
return { count, next }
