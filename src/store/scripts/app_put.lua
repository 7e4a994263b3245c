-- Writes the record of an app, if no app was written since.
--
-- KEYS  1 records, 2 version
-- ARGV  1 the version expected, 2 app, 3 record
-- Answers 1 when it is stored, 0 when the version is another.
--
-- A record that is stored already, word for word, was stored by this very call: its answer was lost. Records hold random
-- digests, so no two callers write the same.
if redis.call('HGET', KEYS[1], ARGV[2]) == ARGV[3] then
  return 1
end
if (redis.call('GET', KEYS[2]) or '0') ~= ARGV[1] then
  return 0
end
redis.call('HSET', KEYS[1], ARGV[2], ARGV[3])
redis.call('INCR', KEYS[2])
return 1
