-- Frees a name, if it still belongs to this room.
--
-- KEYS  1 name
-- ARGV  1 room
if redis.call('HGET', KEYS[1], 'room') == ARGV[1] then
  redis.call('DEL', KEYS[1])
end
return 0
