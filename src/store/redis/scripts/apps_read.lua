-- Reads the records of all apps and endpoints, unless the caller has them.
--
-- KEYS  1 version, 2 apps, 3 endpoints
-- ARGV  1 the caller's version, empty for none
-- Returns {version, {app, record, ...}, {endpoint, record, ...}, {key, error, ...}}. The records are empty if the version
-- is the caller's or a key has another type.
--
-- The version only grows: one of another type restarts at the time. Records of another type stay unchanged, and the caller
-- keeps its records.
local function noted()
  return redis.call('HGETALL', string.match(KEYS[1], '^[^}]*}:') .. 'unreadable')
end

local version = replace('GET', KEYS[1]) or '0'
if not string.match(version, '^%d+$') then
  note_foreign(KEYS[1], 'the version was no number and was replaced')
  version = '0'
end
if version == '0' and (redis.call('EXISTS', KEYS[1]) == 1 or redis.call('EXISTS', KEYS[1] .. ':unreadable') == 1) then
  local time = redis.call('TIME')
  version = string.format('%.0f', time[1] * 1000)
  redis.call('SET', KEYS[1], version)
end
local apps, endpoints = attempt('HLEN', KEYS[2]), attempt('HLEN', KEYS[3])
if version == ARGV[1] or not apps or not endpoints then
  return { version, {}, {}, noted() }
end
return { version, redis.call('HGETALL', KEYS[2]), redis.call('HGETALL', KEYS[3]), noted() }
