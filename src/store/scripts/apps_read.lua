-- Reads the records of all apps, if they are not the ones the caller has.
--
-- KEYS  1 records, 2 version
-- ARGV  1 the version the caller has, empty for none
-- Answers {version, {app, record, ...}}, the list empty when the version is the caller's.
local version = redis.call('GET', KEYS[2]) or '0'
if version == ARGV[1] then
  return { version, {} }
end
return { version, redis.call('HGETALL', KEYS[1]) }
