-- The counts of `warmline/statistics` in words.
local M = {}

local function share(value)
  return value and ("%.0f %%"):format(100 * value) or "not known yet"
end

local function latency(counts)
  if not counts.p50Ms then
    return "There was no answer yet."
  end
  return ("Half took less than %.0f ms, 95 %% less than %.0f ms."):format(counts.p50Ms, counts.p95Ms)
end

--- A page for the user, who has no use for the names on the wire.
function M.page(counts)
  return table.concat({
    "Warmline since its server started; these counts stay on this machine",
    "Shown: " .. counts.shown,
    "Accepted whole: " .. counts.accepted,
    "Accepted in part: " .. counts.partlyAccepted,
    "Accepted, of those shown: " .. share(counts.acceptedShare),
    "Accepted characters, of all that were written: " .. share(counts.completedShare),
    "Still there after 30 seconds, of accepted characters: " .. share(counts.keptShare),
    latency(counts),
  }, "\n")
end

return M
