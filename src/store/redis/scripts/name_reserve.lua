-- Reserves a name for a room, or says whose it is.
--
-- KEYS  1 name
-- ARGV  1 room, 2 time to live in ms
-- Answers {0, room} when it is reserved, {1, room} when it is another's, {2, room} when another's reservation runs.
--
-- A reservation whose time is over is not deleted: its room may have been made all the same, and only the asker can
-- look.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local found = redis.call('HMGET', KEYS[1], 'room', 'until')
local room, pending = found[1], found[2]
if not room then
  redis.call('HSET', KEYS[1], 'room', ARGV[1], 'until', string.format('%.0f', now + ARGV[2]))
  return { 0, ARGV[1] }
end
if room == ARGV[1] then
  if pending then
    redis.call('HSET', KEYS[1], 'until', string.format('%.0f', now + ARGV[2]))
  end
  return { 0, room }
end
if pending and now < tonumber(pending) then
  return { 2, room }
end
return { 1, room }
