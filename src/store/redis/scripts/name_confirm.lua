-- Makes a reservation last, if it is still this room's.
--
-- KEYS  1 name
-- ARGV  1 room
-- Answers 1 when it is, 0 when it is not.
if redis.call('HGET', KEYS[1], 'room') ~= ARGV[1] then
  return 0
end
redis.call('HDEL', KEYS[1], 'until')
return 1
