// What the tests share: the server as a process, a link to it that can be cut, the browser, and pages that are watched.
// Environment: PUSH_SERVER, the server's program; BROWSER_BUILD, the folder with node_modules; CHROMIUM.

import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createRequire } from 'node:module';
import net from 'node:net';
import { createInterface } from 'node:readline';
import { after, test } from 'node:test';
import { promisify } from 'node:util';

export const build = process.env.BROWSER_BUILD;
const require = createRequire(`${build}/package.json`);
const { chromium } = require('playwright-core');
export const axeSource = require('axe-core').source;

export const thorough = process.argv.includes('--all');
const PATIENCE = 15_000;

// Waits until probe() returns something true, and returns it.
export async function until(what, probe) {
    const deadline = Date.now() + PATIENCE;
    for (;;) {
        const result = await probe();
        if (result)
            return result;
        assert.ok(Date.now() < deadline, `waited in vain until ${what}`);
        await new Promise((resolve) => setTimeout(resolve, 20));
    }
}

export const address = (path, names) => `${path}?${new URLSearchParams(names)}`;

export async function curl(...args) {
    const { stdout } = await promisify(execFile)('curl', ['--silent', '--show-error', '--max-time', '30', ...args]);
    return stdout;
}

export class Server {
    constructor(options) {
        this.options = options;
        this.port = 0;
    }

    async start() {
        this.process = spawn(process.env.PUSH_SERVER, ['--port', String(this.port), ...this.options], {
            stdio: ['ignore', 'pipe', 'inherit'],
        });
        this.ended = once(this.process, 'exit');
        const lines = createInterface({ input: this.process.stdout });
        const ready = (async () => {
            for await (const line of lines) {
                const [, port] = /^listening on http:\/\/127\.0\.0\.1:(\d+)\/$/.exec(line) ?? [];
                if (port)
                    return Number(port);
            }
            throw new Error('the server ended before it listened');
        })();
        this.port = await ready;
        this.url = `http://127.0.0.1:${this.port}`;
        this.process.stdout.resume();
    }

    async kill(signal = 'SIGKILL') {
        this.process.kill(signal);
        const [status, by] = await this.ended;
        return by ?? status;
    }

    async stop() {
        if (this.process.exitCode === null && this.process.signalCode === null)
            assert.equal(await this.kill('SIGTERM'), 0, 'the server ends well');
    }

    // By curl, as the README shows it.
    async push(user, text, names = {}) {
        return JSON.parse(await curl('--data-binary', text, this.url + address('/push', { user, ...names })));
    }

    // Many, one after the other, over one connection.
    async pushAll(user, texts) {
        for (const text of texts) {
            const response = await fetch(this.url + address('/push', { user }), { method: 'POST', body: text });
            assert.equal(response.status, 200, await response.text());
        }
    }

    async stats() {
        return JSON.parse(await curl(`${this.url}/stats`));
    }
}

// A link to the server that a test can cut: both ways, or so that only what the page sends is lost.
export class Link {
    #sockets = new Set();
    #open = true;
    deaf = false;

    constructor(port) {
        this.server = net.createServer((near) => this.#join(near, port));
    }

    async start() {
        await once(this.server.listen(0, '127.0.0.1'), 'listening');
        this.url = `http://127.0.0.1:${this.server.address().port}`;
    }

    cut() {
        this.#open = false;
        for (const socket of this.#sockets)
            socket.destroy();
    }

    mend() {
        this.#open = true;
    }

    stop() {
        this.cut();
        this.server.close();
    }

    #join(near, port) {
        if (!this.#open)
            return near.destroy();
        const far = net.connect(port, '127.0.0.1');
        for (const [from, to] of [[near, far], [far, near]]) {
            this.#sockets.add(from);
            from.on('error', () => to.destroy());
            from.on('close', () => {
                this.#sockets.delete(from);
                to.destroy();
            });
        }
        far.on('data', (data) => near.write(data));
        near.on('data', (data) => this.deaf || far.write(data));
    }
}

let browser;
after(() => browser?.close());

async function launch() {
    browser ??= await chromium.launch({ executablePath: process.env.CHROMIUM, args: ['--disable-gpu'] });
    return browser;
}

// Collects what a page complains of, the violations of its security policy among it.
function watch(page, problems) {
    page.on('console', (message) => {
        if (['error', 'warning'].includes(message.type()))
            problems.push(message.text());
    });
    page.on('pageerror', (error) => problems.push(String(error)));
}

// Refused connections are told on the console by the browser itself.
export const REFUSED = /^WebSocket connection to .* failed|net::ERR_(CONNECTION_(REFUSED|RESET|CLOSED)|INTERNET_DISCONNECTED|EMPTY_RESPONSE)/;

// What a test is given: a server of its own, and pages in the browser.
class Scene {
    #contexts = [];
    #links = [];
    problems = [];

    constructor(server) {
        this.server = server;
    }

    // A page in a context of its own, as that of another person's browser.
    async page(contextOptions = {}) {
        const context = await (await launch()).newContext({ viewport: { width: 1280, height: 800 }, ...contextOptions });
        this.#contexts.push(context);
        context.setDefaultTimeout(PATIENCE);
        const page = await context.newPage();
        watch(page, this.problems);
        return page;
    }

    // A device's page that is connected.
    async device(user, device, { url = this.server.url, page, ...contextOptions } = {}) {
        const opened = new Device(page ?? await this.page(contextOptions), url + address('/', { user, device }));
        await opened.open();
        return opened;
    }

    async link() {
        const link = new Link(this.server.port);
        this.#links.push(link);
        await link.start();
        return link;
    }

    async end() {
        await Promise.all(this.#contexts.map((context) => context.close()));
        for (const link of this.#links)
            link.stop();
        await this.server.stop();
    }
}

export class Device {
    constructor(page, url) {
        this.page = page;
        this.url = url;
    }

    async open() {
        await this.page.goto(this.url);
        await this.reaches('Live');
    }

    reaches(state) {
        return until(`${this.url} is ${state}`, async () => await this.text('#state') === state);
    }

    // A page that waits for its next try makes it now, as when the network comes back.
    hasten() {
        return this.page.evaluate(() => dispatchEvent(new Event('online')));
    }

    text(selector) {
        return this.page.locator(selector).textContent();
    }

    messages() {
        return this.page.locator('#items .message .text').allTextContents();
    }

    // All rows, a loss or another incident by its title.
    rows() {
        return this.page.locator('#items > li').evaluateAll((rows) =>
            rows.map((row) => row.querySelector('.text, strong').textContent));
    }

    incidents() {
        return this.page.locator('#items .incident').evaluateAll((rows) =>
            rows.map((row) => row.classList[1]));
    }

    shows(text) {
        return until(`${this.url} shows ${text.slice(0, 40)}`, async () => (await this.messages()).includes(text));
    }

    figure(id) {
        return this.text(`#${id}`).then(Number);
    }
}

// A test with a server started with these options. In the end no page may have complained, but for what is expected.
export function scene(name, play, { options = [], expected = null } = {}) {
    test(name, { timeout: 120_000 }, async () => {
        const server = new Server(options);
        await server.start();
        const scene = new Scene(server);
        try {
            await play(scene, server);
        } finally {
            await scene.end();
        }
        assert.deepEqual(scene.problems.filter((problem) => !expected?.test(problem)), [], 'no page complained');
    });
}

export const numbers = (from, to) => Array.from({ length: to - from + 1 }, (_, index) => String(from + index));
