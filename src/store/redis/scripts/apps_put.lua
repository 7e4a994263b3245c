-- Writes records of apps and endpoints, unless the version has changed.
--
-- KEYS  1 version, 2 apps, 3 endpoints
-- ARGV  1 the expected version; then for each write the number of its key, the id, the record ('' to remove it)
-- Returns 1 if they are stored, 0 if the version is another.
--
-- Records that are stored already, word for word, come from the same call, whose answer was lost, or from one with the same
-- content.
local is_there = true
for n = 2, #ARGV, 3 do
  if (redis.call('HGET', KEYS[tonumber(ARGV[n])], ARGV[n + 1]) or '') ~= ARGV[n + 2] then
    is_there = false
  end
end
if is_there then
  return 1
end
if (redis.call('GET', KEYS[1]) or '0') ~= ARGV[1] then
  return 0
end
for n = 2, #ARGV, 3 do
  if ARGV[n + 2] == '' then
    redis.call('HDEL', KEYS[tonumber(ARGV[n])], ARGV[n + 1])
  else
    redis.call('HSET', KEYS[tonumber(ARGV[n])], ARGV[n + 1], ARGV[n + 2])
  end
end
redis.call('INCR', KEYS[1])
return 1
