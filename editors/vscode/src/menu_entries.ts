/** A menu entry and the command that it runs. */
export interface Entry {
  label: string;
  command: string;
}

/** What the entries depend on. */
export interface MenuState {
  isOn: boolean;
  isManual: boolean;
  isSnoozed: boolean;
  /** Of the active file; undefined without one. */
  language: string | undefined;
  isLanguageOff: boolean;
  /** `warmline.remoteEngine` is set. */
  isRemote: boolean;
}

/** The menu; the most used entries come first. */
export function menuEntries(state: MenuState): Entry[] {
  const entry = (label: string, command: string): Entry => ({
    label,
    command: `warmline.${command}`,
  });
  const toggleLabel = (isOff: boolean): string =>
    isOff ? "$(check) Turn on" : "$(circle-slash) Turn off";
  const { language } = state;
  return [
    entry(toggleLabel(!state.isOn), "toggle"),
    ...(language
      ? [entry(`${toggleLabel(state.isLanguageOff)} for ${language}`, "toggleLanguage")]
      : []),
    state.isManual
      ? entry("$(zap) Complete while I type", "toggleMode")
      : entry("$(zap) Complete only when I ask", "toggleMode"),
    state.isSnoozed
      ? entry("$(bell) End snooze", "snooze")
      : entry("$(bell-slash) Snooze for 5 minutes", "snooze"),
    entry("$(chip) Choose a model", "chooseModel"),
    entry("$(debug-restart) Restart the engine", "restart"),
    entry("$(references) Show what the model sees", "showContext"),
    entry("$(graph) Show statistics", "statistics"),
    entry("$(output) Show the log", "showLog"),
    entry("$(copy) Copy debug information", "copyDebugInformation"),
    entry("$(package) Reinstall the extension's environment", "makeEnvironment"),
    ...(state.isRemote
      ? [entry("$(key) Set the token of the remote engine", "setRemoteToken")]
      : []),
    entry("$(book) Open the walkthrough", "walkthrough"),
  ];
}
