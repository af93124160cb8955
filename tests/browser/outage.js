// What a device sees of broken connections, a server that dies, and mailboxes that were full or are gone.

import assert from 'node:assert/strict';
import { REFUSED, curl, address, numbers, scene, thorough, until } from './harness.js';

scene('a device without network for a while gets what was pushed meanwhile', async (play, server) => {
    const phone = await play.device('alice', 'phone');
    await server.push('alice', 'before');
    await phone.shows('before');
    await phone.page.context().setOffline(true);
    await phone.reaches('Reconnecting');
    assert.match(await phone.text('#notice-text'), /There is no network\. Next try in \d+ seconds?\./);
    await until('the server knows', async () => (await server.stats()).connected === 0);
    await server.pushAll('alice', numbers(1, 5));
    await phone.page.context().setOffline(false);
    await phone.reaches('Live');
    await phone.shows('5');
    assert.deepEqual(await phone.messages(), ['before', ...numbers(1, 5)]);
    assert.deepEqual(await phone.incidents(), ['away']);
    assert.equal(await phone.figure('lost'), 0);
    assert.equal(await phone.page.isVisible('#notice'), false);
}, { expected: REFUSED });

scene('a connection cut again and again while messages are pushed loses none and doubles none', async (play, server) => {
    const link = await play.link();
    const phone = await play.device('alice', 'phone', { url: link.url });
    const last = 280;
    let pushed = 0;
    const pushing = (async () => {
        for (const text of numbers(1, last)) {
            await server.pushAll('alice', [text]);
            pushed++;
        }
    })();
    const cuts = thorough ? 15 : 5;
    for (let cut = 1; cut <= cuts; cut++) {
        await until('some were pushed', () => pushed >= (cut * last) / (cuts + 2));
        link.cut();
        await phone.reaches('Reconnecting');
        link.mend();
        await phone.hasten();
        await phone.reaches('Live');
    }
    await pushing;
    await phone.shows(String(last));
    assert.deepEqual(await phone.messages(), numbers(1, last));
    assert.deepEqual(await phone.incidents(), Array(cuts).fill('away'));
    assert.equal(await phone.figure('lost'), 0);
}, { expected: REFUSED });

scene('messages whose acknowledgement was lost come again, and are shown once', async (play, server) => {
    const link = await play.link();
    const phone = await play.device('alice', 'phone', { url: link.url });
    link.deaf = true;
    await server.pushAll('alice', numbers(1, 10));
    await phone.shows('10');
    link.cut();
    await phone.reaches('Reconnecting');
    link.deaf = false;
    link.mend();
    await phone.hasten();
    await until('the repeats are counted', async () => await phone.figure('repeats') === 10);
    await server.push('alice', 'after');
    await phone.shows('after');
    assert.deepEqual(await phone.messages(), [...numbers(1, 10), 'after']);
    assert.equal(await phone.figure('received'), 11);
}, { expected: REFUSED });

scene('a page that was killed before it could acknowledge gets the messages again', async (play, server) => {
    const link = await play.link();
    const page = await play.page();
    const phone = await play.device('alice', 'phone', { url: link.url, page });
    link.deaf = true;
    await server.pushAll('alice', numbers(1, 3));
    await phone.shows('3');
    await page.evaluate(() => sessionStorage.clear());
    link.cut();
    await page.close();
    const again = await play.device('alice', 'phone');
    await again.shows('3');
    assert.deepEqual(await again.messages(), numbers(1, 3));
}, { expected: REFUSED });

scene('a server killed in mid-stream: the page says so, connects to the next one, and carries on', async (play, server) => {
    const phone = await play.device('alice', 'phone');
    const boot = await phone.text('#detail-boot');
    let dead = false;
    const pushing = (async () => {
        for (let count = 1; !dead; count++)
            await server.pushAll('alice', [`stream ${count}`]).catch(() => { dead = true; });
    })();
    await until('some were received', async () => await phone.figure('received') >= 20);
    assert.equal(await server.kill('SIGKILL'), 'SIGKILL');
    await pushing;
    await phone.reaches('Reconnecting');
    assert.match(await phone.text('#notice-text'), /The connection broke\. Next try in \d+ seconds?\.|Connecting…/);
    assert.match(await phone.page.title(), /^⚠ /);
    const shown = await phone.messages();
    assert.deepEqual(shown, numbers(1, shown.length).map((count) => `stream ${count}`), 'an unbroken beginning of the stream');

    await server.start();
    await phone.reaches('Live');
    assert.notEqual(await phone.text('#detail-boot'), boot);
    assert.deepEqual(await phone.incidents(), ['restarted']);
    const { id } = await server.push('alice', 'new numbers');
    assert.equal(id, 1, 'the new server counts anew, as the old one did');
    await phone.shows('new numbers');
    assert.equal(await phone.figure('repeats'), 0);
}, { expected: REFUSED });

scene('a server that is shut down says goodbye, and the page says that it did', async (play, server) => {
    const phone = await play.device('alice', 'phone');
    assert.equal(await server.kill('SIGTERM'), 0);
    await phone.reaches('Reconnecting');
    assert.match(await phone.text('#notice-text'), /^The server closed the connection: .+\. Next try|Connecting…/);
    await server.start();
    await phone.reaches('Live');
}, { expected: REFUSED });

scene('the page waits longer from try to try, by chance within bounds, and at most half a minute', async (play, server) => {
    const page = await play.page();
    await page.goto(`${server.url}/`);
    await page.evaluate(() => import('/connection.js'));
    await server.kill();
    const delays = await page.evaluate(async () => {
        const { Connection } = await import('/connection.js');
        const connection = new Connection(`ws://${location.host}/ws?user=alice&device=phone`, () => {});
        const waits = [];
        return new Promise((resolve) => {
            connection.addEventListener('state', () => {
                const { name, retryAt, since } = connection.state;
                if (name !== 'waiting')
                    return;
                waits.push(retryAt - since);
                if (waits.length === 10)
                    resolve(waits);
                else
                    dispatchEvent(new Event('online')); // which is a reason not to wait
            });
            connection.connect();
        });
    });
    delays.forEach((delay, index) => {
        const longest = Math.min(30_000, 500 * 2 ** index);
        assert.ok(delay >= longest / 2 - 1 && delay <= longest + 1, `delay ${index}: ${delay} of ${longest}`);
    });
    assert.ok(new Set(delays.slice(-4).map(Math.round)).size > 1, 'not all alike');
    await server.start();
}, { expected: REFUSED });

scene('a device opened in a second place leaves the first, which does not fight for it', async (play, server) => {
    const first = await play.device('alice', 'phone');
    const second = await play.device('alice', 'phone');
    await first.reaches('Disconnected');
    assert.match(await first.text('#notice-text'), /opened in another place/);
    assert.equal((await server.push('alice', 'to the second')).delivered, 1);
    await second.shows('to the second');
    assert.deepEqual(await first.messages(), []);
    assert.equal(await second.text('#state'), 'Live');

    await first.page.click('#notice-button');
    await first.reaches('Live');
    await second.reaches('Disconnected');
});

scene('a device that is deleted is told, and comes back only when asked to', async (play, server) => {
    const phone = await play.device('alice', 'phone');
    const laptop = await play.device('alice', 'laptop');
    const answer = await curl('-X', 'DELETE', server.url + address('/clients', { user: 'alice', device: 'phone' }));
    assert.deepEqual(JSON.parse(answer), { deleted: 1 });
    await phone.reaches('Disconnected');
    assert.match(await phone.text('#notice-text'), /removed this device/);
    assert.equal(await laptop.text('#state'), 'Live');
    await phone.page.click('#notice-button');
    await phone.reaches('Live');
});

scene('a gap is shown where it is, with how many were lost', async (play, server) => {
    const phone = await play.device('alice', 'phone');
    await server.push('alice', 'before');
    await phone.shows('before');
    await until('it is acknowledged', async () => /up to/.test(await phone.text('#detail-acknowledged')));
    await phone.page.goto('about:blank');
    await until('the server knows', async () => (await server.stats()).connected === 0);
    await server.pushAll('alice', numbers(1, 10));
    await phone.open();
    await phone.shows('10');
    assert.deepEqual(await phone.rows(), ['before', '6 messages lost here', '7', '8', '9', '10']);
    assert.equal(await phone.figure('lost'), 6);
    assert.equal((await server.stats()).dropped, 6);
    await phone.page.reload();
    await phone.reaches('Live');
    assert.deepEqual(await phone.rows(), ['before', '6 messages lost here', '7', '8', '9', '10'], 'kept over a reload');
}, { options: ['--overflow', 'drop-oldest', '--max-buffer', '4'] });

scene('a device that was away for longer than the grace time is told that messages may be missing', async (play, server) => {
    const link = await play.link();
    const phone = await play.device('alice', 'phone', { url: link.url });
    link.cut();
    await until('the mailbox is gone', async () => (await server.stats()).clients === 0);
    await server.push('alice', 'into the void');
    link.mend();
    await phone.hasten();
    await phone.reaches('Live');
    assert.deepEqual(await phone.incidents(), ['expired']);
    assert.deepEqual(await phone.messages(), []);
}, { options: ['--grace', '1'], expected: REFUSED });
