-- Replaces the count of live bytes, unless it has changed since.
--
-- KEYS  1 live
-- ARGV  1 number of changes before the node was read, then apps and their bytes
-- Returns 1 if it is replaced, 0 if it has changed.
local found = attempt('HMGET', KEYS[1], '#w', '#t')
if not found then
  replace('HGET', KEYS[1], '#w')
  found = {}
end
if (found[1] or '0') ~= ARGV[1] then
  return 0
end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], '#w', ARGV[1], '#t', found[2] or '0')
for n = 2, #ARGV, 2 do
  redis.call('HSET', KEYS[1], ARGV[n], ARGV[n + 1])
end
return 1
