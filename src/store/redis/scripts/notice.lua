-- Writes a status of the owner of a node, if it still is the owner.
--
-- KEYS  1 lease, 2 board
-- ARGV  1 epoch, 2 owner, 3 field, 4 text
-- Returns 1 if it is written, 0 if another replica has the lease.
local lease = attempt('HMGET', KEYS[1], 'epoch', 'owner') or {}
if lease[1] ~= ARGV[1] or lease[2] ~= ARGV[2] then
  return 0
end
redis.call('HSET', KEYS[2], ARGV[3], ARGV[4])
return 1
