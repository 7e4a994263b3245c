-- Reads the records of all apps and receivers, if they are not the ones the caller has.
--
-- KEYS  1 version, 2 apps, 3 receivers
-- ARGV  1 the version the caller has, empty for none
-- Answers {version, {app, record, ...}, {receiver, record, ...}}, the lists empty when the version is the caller's.
local version = redis.call('GET', KEYS[1]) or '0'
if version == ARGV[1] then
  return { version, {}, {} }
end
return { version, redis.call('HGETALL', KEYS[2]), redis.call('HGETALL', KEYS[3]) }
