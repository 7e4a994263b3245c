-- Notes missing and unreadable messages of an outbox.
--
-- KEYS  1 health
-- ARGV  1 number of missing messages, 2 number of unreadable entries
note_outbox(KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2]))
