-- Reads all entries of some long lists at one moment.
--
-- KEYS  the lists
local found = {}
for n, list in ipairs(KEYS) do
  local texts = {}
  for _, start in ipairs(attempt('ZRANGE', list, 0, -1) or {}) do
    for _, text in ipairs(attempt('ZRANGE', list .. ':' .. start, 0, -1) or {}) do
      texts[#texts + 1] = text
    end
  end
  found[n] = texts
end
return found
