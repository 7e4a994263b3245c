-- Reserves a name for a room, or returns its holder.
--
-- KEYS  1 name
-- ARGV  1 room, 2 time to live in ms
-- Returns {0, room} if it is reserved, {1, room} if another room has it, {2, room} if another room has reserved it.
--
-- An expired reservation is not deleted: its room may exist all the same, and only the caller can check that.
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
