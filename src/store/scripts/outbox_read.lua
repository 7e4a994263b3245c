-- What the outbox holds after its cursor.
--
-- KEYS  1 cursor, 2 outbox
-- ARGV  1 how many at most
-- Answers {cursor, entries as XRANGE answers them}.
local cursor = redis.call('GET', KEYS[1]) or '0'
return { cursor, redis.call('XRANGE', KEYS[2], '(0-' .. cursor, '+', 'COUNT', ARGV[1]) }
