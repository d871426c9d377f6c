// What runs in memory and in virtual time, in parallel. The tests on real hosts have ava.system.config.js; beside those
// the tests here are run at the lowest priority, hence the time.
export default {
  files: ['dist/test/**/*.test.js', '!dist/test/system/**'],
  require: ['./dist/test/fixed-seed.js'],
  timeout: '15m',
};
