-- Releases a lease, if it is still this one.
--
-- KEYS  1 lease
-- ARGV  1 epoch, 2 owner
local lease = attempt('HMGET', KEYS[1], 'epoch', 'owner') or {}
if lease[1] == ARGV[1] and lease[2] == ARGV[2] then
  redis.call('DEL', KEYS[1])
end
return 0
