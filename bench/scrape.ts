// Scrapes an address every second, as Prometheus would, until it is ended: node scrape.js URL. Says `scraping` once it and
// the one that is scraped have done so often enough for their code to be compiled.
import { setInterval as every } from 'node:timers/promises';

const [url] = process.argv.slice(2);
const scrape = async (): Promise<unknown> => (await fetch(url)).text();
for (let time = 0; time < 20; time++) await scrape();
console.log('scraping');
const second = every(1000);
while (!(await second.next()).done) await scrape();
