/** The one that the extension was tested with: see the Makefile. */
export const TORCH = "torch==2.13.0";
