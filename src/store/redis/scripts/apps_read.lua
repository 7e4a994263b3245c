-- Reads the records of all apps and receivers, if they are not the ones the caller has.
--
-- KEYS  1 version, 2 apps, 3 receivers
-- ARGV  1 the version the caller has, empty for none
-- Answers {version, {app, record, ...}, {receiver, record, ...}, {key, what is wrong with it, ...}}, the records empty when
-- the version is the caller's or a key holds another type.
--
-- The version is a counter that only grows: one of another type begins at the time again. Records of another type are left
-- as they are, and whoever asks keeps the records it has.
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
local apps, receivers = attempt('HLEN', KEYS[2]), attempt('HLEN', KEYS[3])
if version == ARGV[1] or not apps or not receivers then
  return { version, {}, {}, noted() }
end
return { version, redis.call('HGETALL', KEYS[2]), redis.call('HGETALL', KEYS[3]), noted() }
