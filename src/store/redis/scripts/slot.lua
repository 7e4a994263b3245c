-- Before every script that touches more than its KEYS, or again what it may have emptied.
--
-- While a cluster moves the slot, a key that is elsewhere already looks as though it were not there, and one that was
-- emptied here cannot be touched again: the script would be broken off half-way. Then not all of two keys are here, one of
-- which never is anywhere, and that is an error.
if type(redis.pcall('EXISTS', KEYS[1], KEYS[1] .. '#')) == 'table' then
  return redis.error_reply('TRYAGAIN the slot is being moved')
end
