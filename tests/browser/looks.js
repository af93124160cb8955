// How the views look: screenshots for people, and what a program can check of it: accessibility and the page's policy.

import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { axeSource, address, build, curl, numbers, scene, until } from './harness.js';

const screenshots = `${build}/screenshots`;
mkdirSync(screenshots, { recursive: true });

const WIDTHS = { phone: { width: 390, height: 844 }, desktop: { width: 1280, height: 800 } };
const SCHEMES = ['light', 'dark'];
const RULES = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];

// Evaluated, not added as a script: the page's policy stays in force.
async function checkAccessibility(page, what) {
    await page.evaluate(axeSource);
    const { violations, passes } = await page.evaluate((tags) => window.axe.run({ runOnly: tags }), RULES);
    const faults = violations.map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.map(({ html, any }) =>
        `${html} ${any.map(({ message }) => message).join()}`).join('; ')}`);
    assert.deepEqual(faults, [], what);
    assert.ok(passes.length > 10, 'there was something to check');
}

async function fits(page) {
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), 'nothing is wider than the screen');
}

// A picture of a page at rest, and the checks.
async function show(page, name) {
    await page.mouse.move(0, 0);
    await fits(page);
    await page.evaluate(() => Promise.all(document.getAnimations()
        .filter((animation) => animation.effect.getTiming().iterations !== Infinity)
        .map((animation) => animation.finish())));
    await page.screenshot({ path: `${screenshots}/${name}.png` });
    await checkAccessibility(page, name);
}

const MORNING = ['The build of main is green again.', 'Your parcel is with the neighbours at number 12.',
    'Standup in five minutes, in the small room today.'];
const NOON = ['Lunch?', 'מישהו רוצה קפה?', 'Deploy 2.14 is out on all regions 🚀\nNo errors so far; the old pods drain until 13:00.',
    'Disk of db-2 is 81 % full.', 'Disk of db-2 is back to 64 %: the old snapshots are gone.'];

for (const scheme of SCHEMES) {
    for (const [width, viewport] of Object.entries(WIDTHS)) {
        const look = { viewport, colorScheme: scheme };
        const name = (view) => `${view}-${scheme}-${width}`;

        scene(`looks: the form, ${scheme}, ${width}`, async (play, server) => {
            const page = await play.page(look);
            await page.goto(`${server.url}/`);
            await page.locator('#start').waitFor();
            await show(page, name('start'));
        });

        scene(`looks: the messages, ${scheme}, ${width}`, async (play, server) => {
            const phone = await play.device('alice', 'phone', look);
            await show(phone.page, name('empty'));
            await server.pushAll('alice', MORNING);
            await phone.shows(MORNING.at(-1));
            await until('it is acknowledged', async () => /#3/.test(await phone.text('#detail-acknowledged')));
            await phone.page.goto('about:blank');
            await until('the server knows', async () => (await server.stats()).connected === 0);
            await server.pushAll('alice', [...numbers(1, 12), ...NOON]);
            await phone.open();
            await phone.shows(NOON.at(-1));
            await until('all is read', async () => await phone.figure('unread') === 0);
            await show(phone.page, name('inbox'));
            if (width === 'phone') {
                await phone.page.click('#details-button');
                await show(phone.page, name('details'));
            }
        }, { options: ['--overflow', 'drop-oldest', '--max-buffer', '5'] });

        scene(`looks: a broken connection, ${scheme}, ${width}`, async (play, server) => {
            const phone = await play.device('alice', 'phone', look);
            await server.pushAll('alice', MORNING);
            await phone.shows(MORNING.at(-1));
            await server.kill();
            await until('it waits', async () => await phone.text('#state') === 'Reconnecting');
            await show(phone.page, name('broken'));
            assert.ok(await phone.page.locator('#user, #device').evaluateAll((names) =>
                names.every(({ scrollWidth, clientWidth }) => scrollWidth <= clientWidth)), 'the names have room beside the state');
            await server.start();
            await phone.reaches('Live');
            await show(phone.page, name('restarted'));
        }, { expected: /^WebSocket connection to .* failed/ });

        scene(`looks: the server, ${scheme}, ${width}`, async (play, server) => {
            const page = await play.page(look);
            await page.clock.install();
            await page.goto(`${server.url}/admin`);
            await until('it is live', async () => await page.textContent('#state') === 'Live');
            assert.match(await page.textContent('#uptime'), /^up for \d+ s$/);
            await show(page, name('admin-empty'));
            await fillPlots(page, server);
            await show(page, name('admin'));
        }, { options: ['--overflow', 'drop-oldest', '--max-buffer', '40'] });
    }
}

// Two minutes of a server's life, in the time it takes to push them.
async function fillPlots(page, server) {
    const there = (user, device) => curl(server.url + address('/poll', { user, device, wait: 0 }));
    const users = ['alice', 'bob', 'carol', 'dave', 'erin'];
    for (let second = 0; second < 110; second++) {
        const user = users[second % users.length];
        if (second % 7 === 0)
            await there(user, ['phone', 'laptop', 'tablet'][second % 3]);
        const some = Math.round(3 + 3 * Math.sin(second / 9) + (second % 5));
        await server.pushAll(users[(second * 3) % users.length], numbers(1, some));
        if (second % 13 === 12)
            await there('alice', 'phone');
        const answer = page.waitForResponse(/\/stats$/);
        await page.clock.runFor(1000);
        await answer;
    }
}

scene('the page’s policy refuses script and style that are not the server’s own', async (play, server) => {
    const page = await play.page();
    await page.goto(`${server.url}/`);
    const refused = await page.evaluate(() => new Promise((resolve) => {
        const directives = [];
        document.addEventListener('securitypolicyviolation', ({ effectiveDirective }) => {
            if (directives.push(effectiveDirective) === 4)
                resolve(directives.sort());
        });
        const script = document.createElement('script');
        script.textContent = 'window.hacked = true';
        document.body.append(script);
        const style = document.createElement('style');
        style.textContent = 'body { display: none }';
        document.body.append(style);
        document.body.setAttribute('onclick', 'window.hacked = true');
        new Image().src = 'http://127.0.0.1:1/';
    }));
    assert.deepEqual(refused, ['img-src', 'script-src-attr', 'script-src-elem', 'style-src-elem']);
    assert.equal(await page.evaluate(() => window.hacked), undefined);
}, { expected: /Content Security Policy/ });
