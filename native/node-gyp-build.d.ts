declare module 'node-gyp-build' {
  /** Finds and loads the addon of the package in `directory`; `resolve` only finds it. Both throw when there is none. */
  function load(directory: string): unknown;
  namespace load {
    function resolve(directory: string): string;
  }
  export default load;
}
