import type { Build } from "./pip";

/** How much is to be fetched, and whether it is more than this machine needs. */
export interface Ahead {
  size: Build;
  isMoreThanNeeded: boolean;
}

export const MAKE = "Make it";
export const SMALLER = "Make it smaller";
export const NEVER = "Don't ask again";

/** The setting that makes it smaller. */
export const CPU_INDEX = "warmline.environment.cpuIndex";

const SIZES: Record<Build, string> = {
  cpu: "about 0.3 GB to fetch, and 2 GB on the disk",
  cuda: "about 3 GB to fetch, and 9 GB on the disk",
};

export interface Question {
  text: string;
  buttons: string[];
}

/** What the user is asked before much is fetched; `isUpdate`: there is an environment, and its torch is too old. */
export function question({ size, isMoreThanNeeded }: Ahead, isUpdate: boolean): Question {
  const what = isUpdate
    ? "This version of Warmline needs another version of torch. Install it in the extension's environment?"
    : "Warmline needs a Python environment of its own. Make one in the extension's storage?";
  const cost = isMoreThanNeeded
    ? `pip's usual torch on Linux is the one for GPUs: ${SIZES.cuda}. This machine has no such GPU; ` +
      `with the address of an index of the CPU build in ${CPU_INDEX} it is ${SIZES.cpu}.`
    : `It takes some minutes: ${SIZES[size]}.`;
  const buttons = isMoreThanNeeded ? [MAKE, SMALLER, NEVER] : [MAKE, NEVER];
  return { text: `${what} ${cost}`, buttons };
}

/** What the user is asked once the setting is shown. */
export const ONCE_SET: Question = {
  text: `Set ${CPU_INDEX} to the address of an index with the CPU build of torch, then make the environment.`,
  buttons: [MAKE, NEVER],
};

/** Whether a file is one that the model will complete, as far as is known before the server runs. */
export function isServed(
  language: string,
  languages: Readonly<Record<string, boolean>>,
  model: string,
): boolean {
  // the models that come with Warmline know Python only
  return languages[language] ?? (!["small", "base"].includes(model) || language === "python");
}
