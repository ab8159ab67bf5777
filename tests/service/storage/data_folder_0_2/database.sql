BEGIN TRANSACTION;
CREATE TABLE configured_policy (
        only_row INTEGER PRIMARY KEY DEFAULT 1 CHECK (only_row = 1),
        sha256 TEXT NOT NULL
    );
INSERT INTO "configured_policy" VALUES(1,'04fbdb0ce3cbc81dffe4f6054a33ee203de1700f4aec22275554ccfb3d74395e');
CREATE TABLE job_queries (
        job INTEGER PRIMARY KEY REFERENCES jobs (number) ON DELETE CASCADE,
        queries TEXT NOT NULL
    );
INSERT INTO "job_queries" VALUES(2,'[{"head":"anna","relation":"ancestor","tail":"Zoë","side":null}]');
INSERT INTO "job_queries" VALUES(3,'[{"head":"anna","relation":"ancestor","tail":"Zoë","side":null},{"head":"george.1","relation":"ancestor","tail":"cara","side":null},{"head":"eva","relation":"parent","tail":"Zoë","side":null},{"head":"ben","relation":"ancestor","tail":"/m/08966","side":null},{"head":"anna","relation":"ancestor","tail":"Zoë","side":null},{"head":"george.1","relation":"ancestor","tail":"cara","side":null},{"head":"eva","relation":"parent","tail":"Zoë","side":null},{"head":"ben","relation":"ancestor","tail":"/m/08966","side":null},{"head":"anna","relation":"ancestor","tail":"Zoë","side":null},{"head":"george.1","relation":"ancestor","tail":"cara","side":null},{"head":"eva","relation":"parent","tail":"Zoë","side":null},{"head":"ben","relation":"ancestor","tail":"/m/08966","side":null}]');
CREATE TABLE jobs (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        idempotency_key TEXT UNIQUE,
        body_sha256 TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('queued', 'running', 'done', 'failed', 'cancelled')),
        created TEXT NOT NULL,
        started TEXT,
        finished TEXT,
        policy_name TEXT NOT NULL,
        policy_sha256 TEXT NOT NULL,
        dataset_name TEXT NOT NULL,
        dataset_sha256 TEXT NOT NULL,
        options TEXT NOT NULL,
        num_queries INTEGER NOT NULL,
        queries_done INTEGER NOT NULL DEFAULT 0,
        num_candidates INTEGER,
        candidates_done INTEGER NOT NULL DEFAULT 0,
        report TEXT,
        error TEXT
    );
INSERT INTO "jobs" VALUES(1,'44145fcea3d840dea006fa93ef02d805','4ebd6151b0224413aee0942d1e771bb8','2621fa6e31d03212d85e30dd97af8ae17028bc36d488ca94000949248f630c62','done','2026-11-29T12:21:12.264Z','2026-11-29T12:21:12.268Z','2026-11-29T12:21:12.344Z','epoch-1','c1547270a64a8f45174c0ec5bc2d3d29553130fd9078caed659d4220481f7e05','family','70cca4aeb6aef652d170c680af1ae3e3d7c83ac8125cb686cb7882ead45cf1be','{"side":"both","corruptions":"all","filtered":true,"seed":0,"ties":"realistic","split":"test","policy":"epoch-1","policy_sha256":"c1547270a64a8f45174c0ec5bc2d3d29553130fd9078caed659d4220481f7e05","limit":null}',3,3,46,46,'{"mrr": 0.20205026455026454, "hits@1": 0.0, "hits@3": 0.16666666666666666, "hits@10": 1.0, "mean_rank": 5.5, "adjusted_mean_rank_index": -0.3500000000000001, "positives_proved": 0.0, "corruptions_proved": 0.125, "rankings": 6, "queries": 3, "candidates": 46, "seconds": 0.025153097001748396, "by_side": {"head": {"mrr": 0.17724867724867724, "hits@1": 0.0, "hits@3": 0.0, "hits@10": 1.0, "mean_rank": 5.833333333333333, "adjusted_mean_rank_index": -0.44999999999999996, "positives_proved": 0.0, "corruptions_proved": 0.1, "rankings": 3, "queries": 3, "candidates": 23, "seconds": 0.011958029722142677}, "tail": {"mrr": 0.22685185185185186, "hits@1": 0.0, "hits@3": 0.3333333333333333, "hits@10": 1.0, "mean_rank": 5.166666666666667, "adjusted_mean_rank_index": -0.25, "positives_proved": 0.0, "corruptions_proved": 0.15, "rankings": 3, "queries": 3, "candidates": 23, "seconds": 0.013195067279605715}}, "by_relation": {"ancestor": {"mrr": 0.1919642857142857, "hits@1": 0.0, "hits@3": 0.25, "hits@10": 1.0, "mean_rank": 6.0, "adjusted_mean_rank_index": -0.5384615384615385, "positives_proved": 0.0, "corruptions_proved": 0.19230769230769232, "rankings": 4, "queries": 2, "candidates": 30, "seconds": 0.018555563361945537}, "parent": {"mrr": 0.2222222222222222, "hits@1": 0.0, "hits@3": 0.0, "hits@10": 1.0, "mean_rank": 4.5, "adjusted_mean_rank_index": 0.0, "positives_proved": 0.0, "corruptions_proved": 0.0, "rankings": 2, "queries": 1, "candidates": 16, "seconds": 0.0065975336398028574}}}',NULL);
INSERT INTO "jobs" VALUES(2,'e7061556730249de8ee7d6b558180932','first','596009dc49aca01ed89fa69f0a6dd3d1369b32e462b121271869a5ad21553410','done','2026-11-29T12:21:12.465Z','2026-11-29T12:21:12.468Z','2026-11-29T12:21:12.493Z','epoch-2','6bdbe36b505ea2ff2c5ded88f6ad2c929aef95153e1e157adc677ab6710f8bb3','family','70cca4aeb6aef652d170c680af1ae3e3d7c83ac8125cb686cb7882ead45cf1be','{"side":"both","corruptions":3,"filtered":true,"seed":0,"ties":"realistic","split":null,"policy":null,"policy_sha256":null,"limit":null}',1,1,8,8,'{"mrr": 0.41666666666666663, "hits@1": 0.0, "hits@3": 1.0, "hits@10": 1.0, "mean_rank": 2.5, "adjusted_mean_rank_index": 0.0, "positives_proved": 0.0, "corruptions_proved": 0.3333333333333333, "rankings": 2, "queries": 1, "candidates": 8, "seconds": 0.002936638000392122, "by_side": {"head": {"mrr": 0.5, "hits@1": 0.0, "hits@3": 1.0, "hits@10": 1.0, "mean_rank": 2.0, "adjusted_mean_rank_index": 0.33333333333333337, "positives_proved": 0.0, "corruptions_proved": 0.3333333333333333, "rankings": 1, "queries": 1, "candidates": 4, "seconds": 0.001468319000196061}, "tail": {"mrr": 0.3333333333333333, "hits@1": 0.0, "hits@3": 1.0, "hits@10": 1.0, "mean_rank": 3.0, "adjusted_mean_rank_index": -0.33333333333333326, "positives_proved": 0.0, "corruptions_proved": 0.3333333333333333, "rankings": 1, "queries": 1, "candidates": 4, "seconds": 0.001468319000196061}}, "by_relation": {"ancestor": {"mrr": 0.41666666666666663, "hits@1": 0.0, "hits@3": 1.0, "hits@10": 1.0, "mean_rank": 2.5, "adjusted_mean_rank_index": 0.0, "positives_proved": 0.0, "corruptions_proved": 0.3333333333333333, "rankings": 2, "queries": 1, "candidates": 8, "seconds": 0.002936638000392122}}}',NULL);
INSERT INTO "jobs" VALUES(3,'16c9b5194bc2483080b196e25a09fe96','c4f2c90ee190443a9466cbda6173226d','91ae018095ccaf2e3fe24364498b2dfbdb4a8082e04d0d611adafd21f901a621','running','2026-11-29T12:21:12.600Z','2026-11-29T12:21:12.608Z',NULL,'epoch-1','c1547270a64a8f45174c0ec5bc2d3d29553130fd9078caed659d4220481f7e05','family','70cca4aeb6aef652d170c680af1ae3e3d7c83ac8125cb686cb7882ead45cf1be','{"side":"tail","corruptions":2,"filtered":true,"seed":0,"ties":"realistic","split":null,"policy":"epoch-1","policy_sha256":null,"limit":null}',12,0,NULL,0,NULL,NULL);
CREATE TABLE live_policy (
        only_row INTEGER PRIMARY KEY DEFAULT 1 CHECK (only_row = 1),
        name TEXT NOT NULL,
        sha256 TEXT NOT NULL
    );
INSERT INTO "live_policy" VALUES(1,'epoch-2','6bdbe36b505ea2ff2c5ded88f6ad2c929aef95153e1e157adc677ab6710f8bb3');
CREATE TABLE policies (
        name TEXT PRIMARY KEY,
        sha256 TEXT NOT NULL,
        bytes INTEGER NOT NULL,
        created TEXT NOT NULL
    );
INSERT INTO "policies" VALUES('a','04fbdb0ce3cbc81dffe4f6054a33ee203de1700f4aec22275554ccfb3d74395e',4470,'2026-11-29T12:21:12.077Z');
INSERT INTO "policies" VALUES('epoch-1','c1547270a64a8f45174c0ec5bc2d3d29553130fd9078caed659d4220481f7e05',4470,'2026-11-29T12:21:12.248Z');
INSERT INTO "policies" VALUES('epoch-2','6bdbe36b505ea2ff2c5ded88f6ad2c929aef95153e1e157adc677ab6710f8bb3',4470,'2026-11-29T12:21:12.452Z');
CREATE TABLE rankings (
        job INTEGER NOT NULL REFERENCES jobs (number) ON DELETE CASCADE,
        query_index INTEGER NOT NULL,
        side TEXT NOT NULL,
        head TEXT NOT NULL,
        relation TEXT NOT NULL,
        tail TEXT NOT NULL,
        optimistic INTEGER NOT NULL,
        realistic REAL NOT NULL,
        pessimistic INTEGER NOT NULL,
        random INTEGER NOT NULL,
        num_candidates INTEGER NOT NULL,
        score REAL NOT NULL,
        log_probability REAL NOT NULL,
        proved INTEGER NOT NULL,
        steps INTEGER NOT NULL,
        corruptions_proved INTEGER NOT NULL,
        seconds REAL NOT NULL,
        PRIMARY KEY (job, query_index, side)
    ) WITHOUT ROWID;
INSERT INTO "rankings" VALUES(1,0,'head','anna','ancestor','Zoë',7,7.0,7,7,8,-1.01098098924311045724e+02,-1.09809892431104927368e+00,0,1,1,3.71111267238910698396e-03);
INSERT INTO "rankings" VALUES(1,0,'tail','anna','ancestor','Zoë',3,3.0,3,3,7,-1.01098098924311045724e+02,-1.09809892431104927368e+00,0,1,2,4.53580437736446438062e-03);
INSERT INTO "rankings" VALUES(1,1,'head','george.1','ancestor','cara',6,6.0,6,6,7,-1.01098315501506846208e+02,-1.09831550150684509326e+00,0,2,1,4.94815022985214264528e-03);
INSERT INTO "rankings" VALUES(1,1,'tail','george.1','ancestor','cara',8,8.0,8,8,8,-1.01098315501506846208e+02,-1.09831550150684509326e+00,0,2,1,5.36049608233982090993e-03);
INSERT INTO "rankings" VALUES(1,2,'head','eva','parent','Zoë',1,4.5,8,5,8,-100.0,0.0,0,1,0,3.2987668199014287193e-03);
INSERT INTO "rankings" VALUES(1,2,'tail','eva','parent','Zoë',1,4.5,8,1,8,-100.0,0.0,0,1,0,3.2987668199014287193e-03);
INSERT INTO "rankings" VALUES(2,0,'head','anna','ancestor','Zoë',2,2.0,2,2,4,-1.01097929146639586405e+02,-1.09792914663958529608e+00,0,1,1,1.46831900019606109708e-03);
INSERT INTO "rankings" VALUES(2,0,'tail','anna','ancestor','Zoë',3,3.0,3,3,4,-1.01097929146639586405e+02,-1.09792914663958529608e+00,0,1,1,1.46831900019606109708e-03);
CREATE INDEX jobs_of_state ON jobs (state, number);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('jobs',3);
COMMIT;
PRAGMA user_version = 2;
