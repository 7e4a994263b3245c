-- Writes what the owner of a node has to say of it, if it still is the owner.
--
-- KEYS  1 lease, 2 board
-- ARGV  1 epoch, 2 owner, 3 field, 4 text
-- Answers 1 when it is written, 0 when the lease is another's.
local lease = attempt('HMGET', KEYS[1], 'epoch', 'owner') or {}
if lease[1] ~= ARGV[1] or lease[2] ~= ARGV[2] then
  return 0
end
redis.call('HSET', KEYS[2], ARGV[3], ARGV[4])
return 1
