-- Takes one of an app's places for dial-outs, or returns those that may be free again.
--
-- KEYS  1 places
-- ARGV  1 place, 2 number of places, 3 age in ms from which a place may be free again, 4 lifetime of the key in ms
-- Returns {} if the place is taken, now or by an earlier transmission; else {1, place, ...}.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local known = replace('ZSCORE', KEYS[1], ARGV[1])
if not known and redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[2]) then
  local old = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[3])
  table.insert(old, 1, '1')
  return old
end
if not known then
  redis.call('ZADD', KEYS[1], now, ARGV[1])
end
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return {}
