-- Defines the commands. The modules load when a command or setup() is called.
if vim.g.loaded_warmline then
  return
end
vim.g.loaded_warmline = true

local actions = { "enable", "disable", "toggle", "trigger", "comment", "restart", "statistics", "status" }

vim.api.nvim_create_user_command("Warmline", function(command)
  if not vim.tbl_contains(actions, command.args) then
    local known = table.concat(actions, ", ")
    vim.notify(("Warmline: unknown action %s; expected one of %s"):format(command.args, known), vim.log.levels.ERROR)
    return
  end
  require("warmline")[command.args]()
end, {
  nargs = 1,
  desc = "Warmline: " .. table.concat(actions, ", "),
  complete = function(typed)
    return vim.tbl_filter(function(action)
      return vim.startswith(action, typed)
    end, actions)
  end,
})

vim.api.nvim_create_user_command("WarmlineComment", function()
  require("warmline").comment()
end, { desc = "Warmline: write a comment, then the code" })
