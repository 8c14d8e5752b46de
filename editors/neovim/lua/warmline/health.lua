-- :checkhealth warmline
local M = {}

function M.check()
  local health = vim.health
  local process = require("warmline.process")
  local warmline = require("warmline")
  health.start("Warmline")
  if vim.fn.has("nvim-0.10") == 0 then
    health.error("Neovim 0.10 or newer is needed: ghost text is drawn by inline virtual text")
    return
  end
  health.ok("Neovim " .. tostring(vim.version()))
  health.info(
    warmline.options.native and "completions are shown by vim.lsp.inline_completion"
      or "completions are shown by Warmline's own ghost text"
  )
  local command, problem = process.resolved(warmline.options.command)
  if not command then
    health.error(problem, {
      "pip install warmline, in an environment whose bin folder is on the PATH",
      'or name it: require("warmline").setup({ command = { "/path/to/warmline", "lsp" } })',
    })
    return
  end
  local program = command[1]
  local version = process.run({ program, "--version" }, 10000)
  if version.code == 0 then
    health.ok(vim.trim(version.stdout) .. " at " .. program)
  else
    health.error(program .. " does not run: " .. vim.trim(version.stderr or ""), { "run: warmline doctor" })
  end
  local client = vim.lsp.get_clients({ name = "warmline" })[1]
  if not client then
    health.warn("no server runs", { 'open a file after require("warmline").setup()' })
    return
  end
  local status = warmline.last_status
  if status and status.state == "error" then
    health.error(status.message or "the engine failed", { ":Warmline restart" })
  else
    health.ok("the server runs" .. (status and (": " .. status.state) or ""))
  end
end

return M
