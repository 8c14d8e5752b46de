/** An entry of the menu: what it says and the command that it runs. */
export interface Entry {
  label: string;
  command: string;
}

/** What the menu's words depend on. */
export interface Here {
  isOn: boolean;
  isManual: boolean;
  isSnoozed: boolean;
  /** Of the file that is edited; undefined where there is none. */
  language: string | undefined;
  isLanguageOff: boolean;
  /** `warmline.remoteEngine` is set. */
  isRemote: boolean;
}

/** The menu, from what is wanted often to what is wanted once. */
export function menuEntries(here: Here): Entry[] {
  const entry = (label: string, command: string): Entry => ({
    label,
    command: `warmline.${command}`,
  });
  const turn = (isOff: boolean): string =>
    isOff ? "$(check) Turn on" : "$(circle-slash) Turn off";
  const { language } = here;
  return [
    entry(turn(!here.isOn), "toggle"),
    ...(language ? [entry(`${turn(here.isLanguageOff)} for ${language}`, "toggleLanguage")] : []),
    here.isManual
      ? entry("$(zap) Complete while I type", "toggleMode")
      : entry("$(zap) Complete only when I ask", "toggleMode"),
    here.isSnoozed
      ? entry("$(bell) End snooze", "snooze")
      : entry("$(bell-slash) Snooze for 5 minutes", "snooze"),
    entry("$(chip) Choose a model", "chooseModel"),
    entry("$(debug-restart) Restart the engine", "restart"),
    entry("$(references) Show what the model sees", "showContext"),
    entry("$(graph) Show statistics", "statistics"),
    entry("$(output) Show the log", "showLog"),
    entry("$(copy) Copy debug information", "copyDebugInformation"),
    entry("$(package) Reinstall the extension's environment", "makeEnvironment"),
    ...(here.isRemote
      ? [entry("$(key) Set the token of the remote engine", "setRemoteToken")]
      : []),
    entry("$(book) Open the walkthrough", "walkthrough"),
  ];
}
