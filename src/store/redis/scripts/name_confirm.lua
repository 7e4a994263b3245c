-- Makes a reservation permanent, if it still belongs to this room.
--
-- KEYS  1 name
-- ARGV  1 room
-- Returns 1 if it does, 0 if not.
if redis.call('HGET', KEYS[1], 'room') ~= ARGV[1] then
  return 0
end
redis.call('HDEL', KEYS[1], 'until')
return 1
