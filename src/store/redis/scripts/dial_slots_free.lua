-- Gives places of an app for dial-outs back.
--
-- KEYS  1 places
-- ARGV  places
for _, place in ipairs(ARGV) do
  replace('ZREM', KEYS[1], place)
end
