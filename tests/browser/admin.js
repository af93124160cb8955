// The view of the server: its numbers are those of /stats.

import assert from 'node:assert/strict';
import { address, curl, numbers, scene, until } from './harness.js';

async function open(play, server) {
    const page = await play.page();
    await page.goto(`${server.url}/admin`);
    await until('it is live', async () => await page.textContent('#state') === 'Live');
    return page;
}

const shown = (page, key) => page.textContent(`[data-key="${key}"]`);
const rows = (page) => page.locator('#clients-rows tr').evaluateAll((all) =>
    all.map((row) => [...row.cells].map((cell) => [...cell.children].map((part) => part.textContent).filter(Boolean).join('|') || cell.textContent)));

// A device that was there once: its mailbox fills.
const leave = (server, user, device) => curl(server.url + address('/poll', { user, device, wait: 0 }));

scene('the view of the server shows the numbers of /stats, and the slowest clients first', async (play, server) => {
    await play.device('alice', 'phone');
    await leave(server, 'bob', 'tablet');
    await leave(server, 'bob', '<i>slow</i>');
    await leave(server, 'carol', 'watch');
    await server.pushAll('bob', numbers(1, 7));
    await curl(server.url + address('/poll', { user: 'bob', device: 'tablet', wait: 0 }));
    await server.pushAll('bob', numbers(8, 9));
    await server.pushAll('alice', numbers(1, 3));

    const page = await open(play, server);
    const stats = await server.stats();
    assert.deepEqual([stats.sessions, stats.clients, stats.connected, stats.pushed, stats.delivered], [3, 4, 1, 12, 21]);
    for (const key of ['sessions', 'clients', 'connected', 'queued', 'pushed', 'delivered', 'dropped', 'disconnected'])
        await until(`${key} is shown`, async () => await shown(page, key) === String(stats[key]));

    const table = await rows(page);
    assert.equal(table.length, stats.slowest.length);
    stats.slowest.forEach((client, index) => {
        const [name, state, queued, , , highWater, dropped] = table[index];
        assert.deepEqual([name, state, queued, highWater, dropped], [`${client.device}|${client.user}`,
            client.connected ? 'connected' : 'away', ...[client.queued, client.high_water, client.dropped].map(String)]);
    });
    assert.equal(table[0][0], '<i>slow</i>|bob');
    assert.equal(table[0][6], String(stats.slowest[0].dropped));
    assert.equal(await page.locator('#clients-rows i').count(), 0, 'names are text');
}, { options: ['--overflow', 'drop-oldest', '--max-buffer', '5'] });

scene('the view of the server counts deliveries and drops per second', async (play, server) => {
    await leave(server, 'bob', 'tablet');
    const page = await open(play, server);
    await until('a rate is known', async () => await shown(page, 'delivered_rate') === '0');
    let done = false;
    const pushing = (async () => {
        while (!done)
            await server.pushAll('bob', ['.']);
    })();
    const rate = (text) => Number(text.replaceAll(',', ''));
    await until('rates are shown', async () => rate(await shown(page, 'delivered_rate')) > 10
        && rate(await shown(page, 'dropped_rate')) > 10);
    done = true;
    await pushing;
    const label = await page.locator('#rates svg').getAttribute('aria-label');
    assert.match(label, /^delivered: [\d,.]+, dropped: [\d,.]+; at most [\d,.]+ in the last 120 seconds$/);
    assert.match(await page.locator('#rates .line-0').getAttribute('d'), /^M[\d.]+ [\d.]+h0L/);
    await until('it is over', async () => await shown(page, 'delivered_rate') === '0');
}, { options: ['--overflow', 'drop-oldest', '--max-buffer', '5'] });

scene('the view of the server says when it does not answer, and when it does again', async (play, server) => {
    const page = await open(play, server);
    await server.kill();
    await until('it says so', async () => await page.textContent('#state') === 'No answer');
    await server.start();
    await until('it is live again', async () => await page.textContent('#state') === 'Live');
}, { expected: /net::ERR_/ });

scene('the view of the server can be paused', async (play, server) => {
    const page = await open(play, server);
    await page.getByRole('button', { name: 'Pause' }).click();
    await until('it is paused', async () => await page.textContent('#state') === 'Paused');
    await leave(server, 'bob', 'tablet');
    const answered = page.waitForResponse(/\/stats$/);
    await answered;
    await page.waitForResponse(/\/stats$/);
    assert.equal(await shown(page, 'clients'), '0');
    await page.getByRole('button', { name: 'Pause', pressed: true }).click();
    await until('it goes on', async () => await shown(page, 'clients') === '1');
});

scene('the plots tell their values under the pointer', async (play, server) => {
    await leave(server, 'bob', 'tablet');
    const page = await open(play, server);
    await until('it is shown', async () => await shown(page, 'clients') === '1');
    const { x, y, width, height } = await page.locator('#clients .plot').boundingBox();
    await page.mouse.move(x + width - 1, y + height / 2);
    assert.equal(await page.textContent('#clients .readout'), '0 s ago · clients: 1, connected: 0');
    await page.mouse.move(x + 1, y + height / 2);
    assert.equal(await page.textContent('#clients .readout'), '120 s ago · clients: unknown, connected: unknown');
});
