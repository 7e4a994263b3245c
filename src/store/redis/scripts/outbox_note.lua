-- Notes what was found to be missing of an outbox, or not to be readable.
--
-- KEYS  1 health
-- ARGV  1 how many messages are missing, 2 how many entries are not readable
note_outbox(KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2]))
