// Tabs on two servers of a cluster. Environment: as ../browser/harness.js, and NATS_URL.

import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { REFUSED, Server, build, numbers, scene, until } from '../browser/harness.js';

let clusters = 0;

// Two servers, and a cluster of their own.
function clustered(name, play) {
    const options = ['--nats', process.env.NATS_URL, '--cluster', `browser-${++clusters}`];
    scene(name, async (stage, a) => {
        const b = new Server(options);
        await b.start();
        try {
            await play(stage, a, b);
        } finally {
            await b.stop();
        }
    }, { options, expected: REFUSED });
}

// What is pushed anywhere reaches all users' devices.
async function joined(...servers) {
    for (const server of servers)
        await until(`${server.url} has joined`, async () => {
            const { sessions, cluster } = await server.stats();
            return cluster.ready && cluster.subscriptions === cluster.sessions && cluster.sessions >= sessions;
        });
}

async function twoTabs(stage, a, b) {
    const phone = await stage.device('alice', 'phone');
    const laptop = await stage.device('alice', 'laptop', { url: b.url });
    await joined(a, b);
    return [phone, laptop];
}

clustered('one push reaches a tab on server A and a tab on server B', async (stage, a, b) => {
    const [phone, laptop] = await twoTabs(stage, a, b);
    const stranger = await stage.device('bob', 'phone', { url: b.url });
    await joined(b);
    for (const server of [a, b]) {
        const text = `by way of ${server.url}`;
        const report = await server.push('alice', text);
        assert.deepEqual([report.delivered, report.published, report.queued], [1, true, true]);
        await phone.shows(text);
        await laptop.shows(text);
    }
    await a.push('alice', 'not for the laptop', { except: 'laptop' });
    await a.push('alice', 'for both');
    await laptop.shows('for both');
    await phone.shows('for both');
    assert.equal((await phone.messages()).length, 4);
    assert.equal((await laptop.messages()).length, 3);
    assert.deepEqual(await stranger.messages(), []);
});

clustered('what a page pushes reaches a tab on the other server, and the page says so', async (stage, a, b) => {
    const [phone, laptop] = await twoTabs(stage, a, b);
    await phone.page.fill('#text', 'from the page');
    await phone.page.click('#send');
    await laptop.shows('from the page');
    await until('the outcome is told', async () =>
        await phone.text('#outcome') === 'Delivered to 1 device; published to the other servers');
});

clustered('many pushed on both servers are shown once, in the order of each, and acknowledged', async (stage, a, b) => {
    const [phone, laptop] = await twoTabs(stage, a, b);
    const last = 120;
    const from = (name) => numbers(1, last).map((number) => `${name} ${number}`);
    await Promise.all([a.pushAll('alice', from('A')), b.pushAll('alice', from('B'))]);
    for (const device of [phone, laptop]) {
        await until('all are there', async () => await device.figure('received') === 2 * last);
        const shown = await device.messages();
        for (const name of ['A', 'B'])
            assert.deepEqual(shown.filter((text) => text.startsWith(name)), from(name));
    }
    await until('all is acknowledged', async () => (await laptop.text('#detail-acknowledged')) === `up to #${last}`);
    await laptop.page.reload();
    await laptop.reaches('Live');
    await a.push('alice', 'after');
    await laptop.shows('after');
    assert.equal(await laptop.figure('repeats'), 0, 'the server took the acknowledgements of both servers’ messages');
    assert.deepEqual(await laptop.incidents(), []);
});

clustered('a page whose server dies says so, the other goes on, and both are reached when it is back', async (stage, a, b) => {
    const [phone, laptop] = await twoTabs(stage, a, b);
    await a.push('alice', 'before');
    await laptop.shows('before');
    await b.kill('SIGKILL');
    await laptop.reaches('Reconnecting');
    assert.match(await laptop.text('#notice-text'), /The connection broke\. Next try in \d+ seconds?\.|Connecting…/);
    assert.match(await laptop.page.title(), /^⚠ /);
    assert.equal((await a.push('alice', 'meanwhile')).delivered, 1);
    await phone.shows('meanwhile');
    assert.equal(await phone.text('#state'), 'Live');

    await b.start();
    await laptop.hasten();
    await laptop.reaches('Live');
    assert.deepEqual(await laptop.incidents(), ['restarted']);
    await joined(a, b);
    await a.push('alice', 'after');
    await laptop.shows('after');
    await phone.shows('after');
    assert.deepEqual(await laptop.messages(), ['before', 'after']);
});

clustered('the view of the server shows the cluster', async (stage, a, b) => {
    await twoTabs(stage, a, b);
    await b.pushAll('alice', numbers(1, 3));
    const page = await stage.page();
    await page.goto(`${a.url}/admin`);
    const shown = (key) => page.textContent(`[data-key="cluster_${key}"]`);
    await until('the messages are counted', async () => await shown('received') === '3');
    assert.equal(await page.isVisible('#cluster'), true);
    assert.deepEqual(await Promise.all(['state', 'reconnects', 'published', 'queued', 'lost'].map(shown)),
        ['connected', '0', '0', '0', '0']);
    mkdirSync(`${build}/screenshots`, { recursive: true });
    await page.screenshot({ path: `${build}/screenshots/admin-cluster.png`, fullPage: true });
});

scene('the view of a server that is alone shows no cluster', async (stage, server) => {
    const page = await stage.page();
    await page.goto(`${server.url}/admin`);
    await until('it is live', async () => await page.textContent('#state') === 'Live');
    assert.equal(await page.isVisible('#cluster'), false);
});
