-- Reads a part of the lists of all apps.
--
-- KEYS  1 set of keys of lists
-- ARGV  1 prefix of the keys of the lists, before the app, 2 start, a BYLEX bound, 3 limit for each list
-- Returns the positions in all these lists. The caller sorts them: Lua would compare by the server's locale.
--
-- The lists are in the slot of the set. Entities without an app are on the list of the empty app, which is not shown.
local prefix = ARGV[1]
local found = {}
for _, list in ipairs(attempt('SMEMBERS', KEYS[1]) or {}) do
  if #list > #prefix and string.sub(list, 1, #prefix) == prefix then
    for _, position in ipairs(rope_range(list, ARGV[2], tonumber(ARGV[3]))) do
      found[#found + 1] = position
    end
  end
end
return found
