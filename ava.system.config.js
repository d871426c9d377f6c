// Tests in network namespaces: two files at a time, as they wait more than they work, and the tests of a file one after
// the other; in processes of their own, as they remove what they made when a signal ends them.
export default {
  files: ['dist/test/system/**/*.test.js'],
  concurrency: 2,
  serial: true,
  workerThreads: false,
  timeout: '10m',
};
