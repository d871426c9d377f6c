// Tests in network namespaces: one after the other, as each wants the machine for itself; in a process of their own,
// as they remove what they made when a signal ends them.
export default {
  files: ['dist/test/system/**/*.test.js'],
  concurrency: 1,
  serial: true,
  workerThreads: false,
  timeout: '10m',
};
