-- Takes or renews a node's lease.
--
-- KEYS  1 lease, 2 epoch
-- ARGV  1 owner, 2 time to live in ms
-- Answers {1, epoch} when it is the owner's, {0, ms left} when it is another's.
--
-- The epoch is counted apart from the lease because it must outlive it. The first one is the time in ms, so that a
-- store that lost everything does not count the same epochs again: its owner would take the lease for the one it had.
local owner = redis.call('HGET', KEYS[1], 'owner')
local epoch
if owner == ARGV[1] then
  epoch = redis.call('HGET', KEYS[1], 'epoch')
elseif owner then
  return { 0, redis.call('PTTL', KEYS[1]) }
else
  epoch = redis.call('INCR', KEYS[2])
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
