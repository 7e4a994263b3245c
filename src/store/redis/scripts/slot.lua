-- Included in every script that uses keys besides its KEYS, or uses a key again that it may have emptied.
--
-- While a cluster moves the slot, a key that has moved looks missing, and a key that was emptied here cannot be used again:
-- Redis would stop the script half-way. If the slot is being moved, a command for two keys, one of which never exists,
-- fails because not all keys are here.
if type(redis.pcall('EXISTS', KEYS[1], KEYS[1] .. '#')) == 'table' then
  return redis.error_reply('TRYAGAIN the slot is being moved')
end
