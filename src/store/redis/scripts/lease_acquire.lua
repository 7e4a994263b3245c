-- Takes or renews a node's lease.
--
-- KEYS  1 lease, 2 epoch
-- ARGV  1 owner, 2 time to live in ms
-- Returns {1, epoch} if the owner has it, {0, ms left} if another one has it.
--
-- The epoch has a separate key because it must outlive the lease. The first one is the time in ms, so that a store that
-- lost everything does not repeat an epoch, whose owner would take the lease for its old one.
--
-- A lease that this script cannot have written (another type, no expiry, no epoch) counts as missing. An epoch of another
-- type restarts at the time: epochs grow by less than one a millisecond, so the time is above every earlier one.
local lease = replace('HMGET', KEYS[1], 'owner', 'epoch')
local owner, epoch = lease[1], lease[2]
local left = owner and redis.call('PTTL', KEYS[1]) or 0
if owner and (left < 0 or not string.match(epoch or '', '^%d+$')) then
  note_foreign(KEYS[1], 'the lease had no expiry or no epoch and was replaced')
  redis.call('DEL', KEYS[1])
  owner = nil
end
if owner and owner ~= ARGV[1] then
  return { 0, left }
end
if not owner then
  epoch = replace('INCR', KEYS[2])
  if epoch == 1 then
    local time = redis.call('TIME')
    epoch = time[1] * 1000 + math.floor(time[2] / 1000)
    redis.call('SET', KEYS[2], string.format('%.0f', epoch))
  end
  epoch = string.format('%.0f', epoch)
  redis.call('HSET', KEYS[1], 'epoch', epoch, 'owner', ARGV[1])
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return { 1, tonumber(epoch) }
