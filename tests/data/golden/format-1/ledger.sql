PRAGMA application_id = 1179798599;
PRAGMA user_version = 5;
BEGIN TRANSACTION;
CREATE TABLE effects(home BLOB NOT NULL, counter INTEGER NOT NULL, step INTEGER NOT NULL, place INTEGER NOT NULL,
                     tenant TEXT NOT NULL, key TEXT NOT NULL, effect TEXT NOT NULL, is_parked INTEGER NOT NULL,
                     attempts INTEGER NOT NULL, cause TEXT NOT NULL,
                     PRIMARY KEY (home, counter, step, place)) WITHOUT ROWID;
INSERT INTO "effects" VALUES(X'90562552B7A7448EB0F5250397D7F20E',1,1,0,'default','c4897e533b5bc2578f2ed544176b08ea4a6d63ad616153fb163d2d1912859109-0','{"http":{"body":{"n":"golden","part":0},"method":"POST","url":"http://127.0.0.1:38737/hook"}}',0,0,'');
INSERT INTO "effects" VALUES(X'90562552B7A7448EB0F5250397D7F20E',1,1,1,'default','c4897e533b5bc2578f2ed544176b08ea4a6d63ad616153fb163d2d1912859109-1','{"http":{"body":{"n":"golden","part":1},"method":"POST","url":"http://127.0.0.1:38737/hook"}}',0,0,'');
CREATE TABLE entries(seq INTEGER PRIMARY KEY, epoch INTEGER NOT NULL, session INTEGER, step INTEGER, leaf TEXT NOT NULL,
                     previous INTEGER);
INSERT INTO "entries" VALUES(0,1,NULL,NULL,'{"cause":"start","epoch":1,"kind":"epoch","public_key":"d6af79039f740c7e31ad2ead4888c0a08ee73e849bbca15ee2db1bb1e0cabd25","seq":0,"version":"0.1.0"}',NULL);
INSERT INTO "entries" VALUES(1,1,1,0,'{"branch_causes":[null],"branch_latencies_ms":[332.338],"branch_names":["double"],"branch_validities":[true],"decision_hash":"8b45be6827ed75c268c64187ff37e070116bc86fa46dd4fd6d79be915f40945d","deterministic_tie_breaker_seed":"d950678a354e6c65","effects_hash":null,"epoch":1,"input_hash":"b3ca01388c5059469ef46b4565ead6b79d94f571c6789e159cd9fc406bec9fc3","kind":"commit","origin":"miss","output_hash":"a5e1ba4abde00bfe4d33d8c2103680cfea54738202646043f5bf5a50ed005aff","run_id":"0c6ad38d-1f6a-40ef-b354-9afbcf884453/1","seed_chain":"d950678a354e6c65a88d7282baef0223b84803ab7293e13cd1151a65aa34ca6a","select":"ranked","seq":1,"step":0,"task":"double","wasted_ms":0,"winning_branch_index":0,"workers":["90562552-b7a7-448e-b0f5-250397d7f20e"],"writes_hash":null}',NULL);
INSERT INTO "entries" VALUES(2,1,1,1,'{"branch_causes":[null,null],"branch_latencies_ms":[373.874,367.498],"branch_names":["yes","no"],"branch_validities":[true,null],"decision_hash":"6155809a24ba040643b56678d9e5fadc2fb1adf6ab118935bf757b67aea470d1","deterministic_tie_breaker_seed":"c94618dafa0aeb09","effects_hash":null,"epoch":1,"input_hash":"8eb9110f65700e12f572bd564f3a4e8358453a15a6b91cf2e63774d1ba988e1d","kind":"commit","origin":"miss","output_hash":"692eec04f8c9b22b177239f6d34fbdf6221db31e07cd9c4cd33a1b5dcc1a62c9","run_id":"0c6ad38d-1f6a-40ef-b354-9afbcf884453/1","seed_chain":"c94618dafa0aeb09d38adcf89fad8e770825aeef0e41a2ce1d2c1797ad484c50","select":"ranked","seq":2,"step":1,"task":"vote","wasted_ms":367.498,"winning_branch_index":0,"workers":["90562552-b7a7-448e-b0f5-250397d7f20e","0c6ad38d-1f6a-40ef-b354-9afbcf884453"],"writes_hash":null}',1);
INSERT INTO "entries" VALUES(3,1,1,2,'{"branch_causes":["a `valid` condition of race careful does not hold",null],"branch_latencies_ms":[285.983,303.828],"branch_names":["no","yes"],"branch_validities":[false,true],"decision_hash":"d92159e689424e617d3407f82d16fff33a9fc9ebf93bb86b0e72bdf8250ae3e6","deterministic_tie_breaker_seed":"be84c652f2f69e8b","effects_hash":null,"epoch":1,"input_hash":"36175a176bfaf420828995d392953886866215b3e6a66908ef62cd103bc737df","kind":"commit","origin":"miss","output_hash":"692eec04f8c9b22b177239f6d34fbdf6221db31e07cd9c4cd33a1b5dcc1a62c9","run_id":"0c6ad38d-1f6a-40ef-b354-9afbcf884453/1","seed_chain":"be84c652f2f69e8b3c32e8f5727f34a3f33aae24516dff76862f1fe4e46691cf","select":"ordered","seq":3,"step":2,"task":"careful","wasted_ms":285.983,"winning_branch_index":1,"workers":["90562552-b7a7-448e-b0f5-250397d7f20e","0c6ad38d-1f6a-40ef-b354-9afbcf884453"],"writes_hash":null}',2);
INSERT INTO "entries" VALUES(4,1,1,3,'{"branch_causes":[null],"branch_latencies_ms":[309.493],"branch_names":["append"],"branch_validities":[true],"decision_hash":"06460992d71c38648a19e8b5617d6c57899b135b37760c643af4743b0fc02a6d","deterministic_tie_breaker_seed":"bee61ef34a6b5f1c","effects_hash":null,"epoch":1,"input_hash":"a1ebda3714edce3823c290d315640a03a73e1c84365870e9a4de68293e37fadd","kind":"commit","origin":"miss","output_hash":"74234e98afe7498fb5daf1f36ac2d78acc339464f950703b8c019892f982b90b","run_id":"0c6ad38d-1f6a-40ef-b354-9afbcf884453/1","seed_chain":"bee61ef34a6b5f1c3d3a79ef395b84fd3549937e1721f2139f8020a5cc8211a2","select":"ranked","seq":4,"step":3,"task":"append","wasted_ms":0,"winning_branch_index":0,"workers":["0c6ad38d-1f6a-40ef-b354-9afbcf884453"],"writes_hash":null}',3);
INSERT INTO "entries" VALUES(5,1,1,4,'{"branch_causes":[null],"branch_latencies_ms":[328.16],"branch_names":["look_up"],"branch_validities":[true],"decision_hash":"18eb9e3364c3bc022e8cc34c1f289f6065cb49e463bb7e339f7c028bd60b87b7","deterministic_tie_breaker_seed":"70ababf2a686fd22","effects_hash":null,"epoch":1,"input_hash":"11d0e9455d6e9b6b2de47543b900ae85d85ceccfc88652c127a86a2e65df7371","kind":"commit","origin":"miss","output_hash":"b7fd587d6da1189fbf961d5162cf21ec7dfe27ffaf951e133f5048624b0eec4d","run_id":"0c6ad38d-1f6a-40ef-b354-9afbcf884453/1","seed_chain":"70ababf2a686fd22da26f1cc9191404a401f8f1c57b132ef682863649fe956f7","select":"ranked","seq":5,"step":4,"task":"look_up","wasted_ms":0,"winning_branch_index":0,"workers":["0c6ad38d-1f6a-40ef-b354-9afbcf884453"],"writes_hash":null}',4);
INSERT INTO "entries" VALUES(6,1,1,5,'{"branch_causes":["exit code 1: KeyError: ''n''"],"branch_latencies_ms":[308.156],"branch_names":["double"],"branch_validities":[false],"decision_hash":"7ef5bb6e42494bd23966ea53228638a6a018daaa484bf2691c35f0a57fef033b","deterministic_tie_breaker_seed":"a93fd45905545f13","effects_hash":null,"epoch":1,"input_hash":"178cf67969c997ed78bb5aa36caa2aa11cd68d19d321d43505cd2999774b7250","kind":"commit","origin":"miss","output_hash":null,"run_id":"0c6ad38d-1f6a-40ef-b354-9afbcf884453/1","seed_chain":"a93fd45905545f131184e31f641ff5991b087abbff8c06f4c1bfd12fe72ba9e1","select":"ranked","seq":6,"step":5,"task":"double","wasted_ms":0,"winning_branch_index":-1,"workers":["90562552-b7a7-448e-b0f5-250397d7f20e"],"writes_hash":null}',5);
INSERT INTO "entries" VALUES(7,1,2,0,'{"branch_causes":[null],"branch_latencies_ms":[416.784],"branch_names":["double"],"branch_validities":[true],"decision_hash":"f60f0b61aa2283b6b028a3b2c7d8a7e8a89a269e2e94f7b9b80d283407b587a3","deterministic_tie_breaker_seed":"dd4ac30d4b7ceeaf","effects_hash":null,"epoch":1,"input_hash":"cbd7487c9bd134a2dd73094122ee77aec96f8bfcbb0d6d7bd8ad6373395b7725","kind":"commit","origin":"miss","output_hash":"bd6a5fd15324f1185af78cae38f4daa3ad1385caaf4d2fcaf560e421ce8471ea","run_id":"90562552-b7a7-448e-b0f5-250397d7f20e/1","seed_chain":"dd4ac30d4b7ceeaf97eb33a438e88dbbdc4519118fa34d10e2ffcfd1b15e9acd","select":"ranked","seq":7,"step":0,"task":"double","wasted_ms":0,"winning_branch_index":0,"workers":["0c6ad38d-1f6a-40ef-b354-9afbcf884453"],"writes_hash":null}',NULL);
INSERT INTO "entries" VALUES(8,1,2,1,'{"branch_causes":[null],"branch_latencies_ms":[357.457],"branch_names":["note"],"branch_validities":[true],"decision_hash":"7aaba55010c04c91535e15e5ff0370a91a5ba1379b5731f0adf7fa98d91394fc","deterministic_tie_breaker_seed":"c4897e533b5bc257","effects_hash":"fc43f515a8837d1e45242d7f0eedcef12410be704c3d842864ca0406d4dbfe11","epoch":1,"input_hash":"25884e43e5decab827f17e872d861e873dbaeba27633d149016968b98f93e32c","kind":"commit","origin":"miss","output_hash":"20d4c5326635b870e810cc32a6d6472bfc69ddfd44a0250a23541ff9deff167b","run_id":"90562552-b7a7-448e-b0f5-250397d7f20e/1","seed_chain":"c4897e533b5bc2578f2ed544176b08ea4a6d63ad616153fb163d2d1912859109","select":"ranked","seq":8,"step":1,"task":"note","wasted_ms":0,"winning_branch_index":0,"workers":["90562552-b7a7-448e-b0f5-250397d7f20e"],"writes_hash":null}',7);
CREATE TABLE history(number INTEGER PRIMARY KEY, tenant TEXT NOT NULL, name TEXT NOT NULL, at INTEGER NOT NULL,
                     steps INTEGER NOT NULL, bytes INTEGER NOT NULL, hash BLOB NOT NULL, text TEXT NOT NULL,
                     UNIQUE (tenant, name));
INSERT INTO "history" VALUES(1,'default','taught',9,1,98,X'5A1A2702A7966DE10B6C0BEC6F8E5F96665E7D5B721B250338B9FD119DD87EC5','{"context":"","session":"taught","steps":[{"input":{"n":1},"output":{"twice":2},"task":"double"}]}');
CREATE TABLE intents(session INTEGER NOT NULL, step INTEGER NOT NULL, call TEXT NOT NULL, is_write INTEGER NOT NULL,
                     key TEXT NOT NULL, request_hash BLOB NOT NULL, first_step INTEGER NOT NULL,
                     step_count INTEGER NOT NULL, PRIMARY KEY (session, step)) WITHOUT ROWID;
INSERT INTO "intents" VALUES(3,0,'{"input":{"gate":"golden","name":"slow"},"task":"append"}',1,'write-key',X'693D2A0E2CF13D34DAE0E8452E1187FDD8CDA1C695244180550C0D8B87CB00E6',0,1);
CREATE TABLE keys(scope TEXT NOT NULL, key TEXT NOT NULL, request_hash BLOB NOT NULL, session INTEGER NOT NULL,
                  first_step INTEGER NOT NULL, step_count INTEGER NOT NULL, PRIMARY KEY (scope, key)) WITHOUT ROWID;
INSERT INTO "keys" VALUES('0c6ad38d-1f6a-40ef-b354-9afbcf884453/1','key-0',X'DFBE1F82CF34CE546CEE6E4E43C537B8FD2E2D54AD0564DE986791930A9A590E',1,0,1);
INSERT INTO "keys" VALUES('0c6ad38d-1f6a-40ef-b354-9afbcf884453/1','key-1',X'C1C2E6DBA7921AA39961D1547A7CBBB3422F5C722D3C910FB6D72B4599921ACC',1,1,1);
INSERT INTO "keys" VALUES('0c6ad38d-1f6a-40ef-b354-9afbcf884453/1','key-2',X'70A780D915A494769E75459D063C53DB0D791009C5E33BA9957929B8A4840B41',1,2,1);
INSERT INTO "keys" VALUES('0c6ad38d-1f6a-40ef-b354-9afbcf884453/1','key-3',X'844E42FDC4E8ACE70F400581FB9210757BDC5FF8D7D49E91D33C416F447FBB68',1,3,1);
INSERT INTO "keys" VALUES('0c6ad38d-1f6a-40ef-b354-9afbcf884453/1','key-4',X'DF85A1FD0D3BB57B763171AD3E0CF599105B14AAABA1D5E6D0D37E8F05E750D1',1,4,1);
INSERT INTO "keys" VALUES('0c6ad38d-1f6a-40ef-b354-9afbcf884453/1','key-5',X'B15BD094A4883B8B6ACBAAD7696B45B750882DA597214E672A16B3204AA508A3',1,5,1);
INSERT INTO "keys" VALUES('90562552-b7a7-448e-b0f5-250397d7f20e/1','open-key',X'BBA0A78D1426C174A0E7696154348AC2F00CC3F40FB080B44AC6134EF6F066AB',2,0,1);
CREATE TABLE marks(worker BLOB PRIMARY KEY, mark INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO "marks" VALUES(X'0C6AD38D1F6A40EFB3549AFBCF884453',1024);
INSERT INTO "marks" VALUES(X'90562552B7A7448EB0F5250397D7F20E',1024);
CREATE TABLE meta(one INTEGER PRIMARY KEY CHECK (one = 1), epoch INTEGER NOT NULL, size INTEGER, root BLOB,
                  head_epoch INTEGER, signed_head TEXT);
INSERT INTO "meta" VALUES(1,1,9,X'AA18C4F481AA501EE6170B4320C9713ECD17C07AA118D6426D1A2E42AEE3C660',1,'{"epoch":1,"public_key":"d6af79039f740c7e31ad2ead4888c0a08ee73e849bbca15ee2db1bb1e0cabd25","root":"aa18c4f481aa501ee6170b4320c9713ecd17c07aa118d6426d1a2e42aee3c660","signature":"a9698ae7f106f458154746f0bb43deadeeee67d2e41bcafd767dc72dec3974de3fbf0736d6f23f3c4dfa42a717b9194ac7912f5836251596fded792534fa770b","size":9}');
CREATE TABLE payloads(seq INTEGER PRIMARY KEY, call TEXT NOT NULL, output TEXT NOT NULL, writes TEXT NOT NULL,
                      effects TEXT NOT NULL, story TEXT NOT NULL DEFAULT '');
INSERT INTO "payloads" VALUES(1,'{"input":{"n":1},"task":"double"}','{"twice":2}','','','');
INSERT INTO "payloads" VALUES(2,'{"input":{"n":2},"task":"vote"}','{"by":"yes","sure":false}','','','{"outputs":{"no":{"by":"no","sure":false}}}');
INSERT INTO "payloads" VALUES(3,'{"input":{"n":3},"task":"careful"}','{"by":"yes","sure":false}','','','');
INSERT INTO "payloads" VALUES(4,'{"input":{"name":"golden"},"task":"append"}','null','','','');
INSERT INTO "payloads" VALUES(5,'{"input":{"name":"golden"},"task":"look_up"}','{"value":"golden"}','','','');
INSERT INTO "payloads" VALUES(6,'{"input":{"m":"wrong"},"task":"double"}','','','','');
INSERT INTO "payloads" VALUES(7,'{"input":{"n":7},"task":"double"}','{"twice":14}','','','{"opened_with":{"kept":1},"state_hash":"a1dc39abc83572e468fc473955717e2669073f5244bf98673ea0f046637306b4"}');
INSERT INTO "payloads" VALUES(8,'{"input":{"n":"golden"},"task":"note"}','{"noted":"golden"}','','[{"http":{"body":{"n":"golden","part":0},"method":"POST","url":"http://127.0.0.1:38737/hook"}},{"http":{"body":{"n":"golden","part":1},"method":"POST","url":"http://127.0.0.1:38737/hook"}}]','{"state_hash":"a1dc39abc83572e468fc473955717e2669073f5244bf98673ea0f046637306b4"}');
CREATE TABLE sessions(id INTEGER PRIMARY KEY, home BLOB NOT NULL, counter INTEGER NOT NULL, tenant TEXT, context TEXT,
                      mode INTEGER, world TEXT, next_step INTEGER, chain BLOB, state TEXT, ended INTEGER,
                      list_state TEXT NOT NULL DEFAULT '', latest INTEGER, last_step INTEGER,
                      UNIQUE (home, counter));
INSERT INTO "sessions" VALUES(1,X'0C6AD38D1F6A40EFB3549AFBCF884453',1,'default','golden',0,'',6,X'A93FD45905545F131184E31F641FF5991B087ABBFF8C06F4C1BFD12FE72BA9E1','{}',1,'',6,5);
INSERT INTO "sessions" VALUES(2,X'90562552B7A7448EB0F5250397D7F20E',1,'default','',0,'',2,X'C4897E533B5BC2578F2ED544176B08EA4A6D63AD616153FB163D2D1912859109','{"kept":1}',0,'',8,1);
INSERT INTO "sessions" VALUES(3,X'0C6AD38D1F6A40EFB3549AFBCF884453',2,'default','',0,'',0,X'0000000000000000000000000000000000000000000000000000000000000000','{}',0,'',NULL,NULL);
CREATE TABLE texts(name TEXT PRIMARY KEY, text TEXT NOT NULL) WITHOUT ROWID;
INSERT INTO "texts" VALUES('catalog.toml','
[task.double]
executor = "exec"
command  = ["python3", "tasks.py", "double"]
effect   = "pure"
sandbox  = false
[task.look_up]
executor = "exec"
command  = ["python3", "tasks.py", "look_up"]
effect   = "read"
reads    = ["item/{name}"]
sandbox  = false
[task.gate]
executor = "exec"
command  = ["python3", "tasks.py", "gate"]
effect   = "pure"
sandbox  = false
[task.append]
executor = "exec"
command  = ["python3", "tasks.py", "append"]
effect   = "write"
writes   = ["item/{name}"]
sandbox  = false
[task.append_again]
executor = "exec"
command  = ["python3", "tasks.py", "append"]
effect   = "write"
writes   = ["item/{name}"]
idempotent = true
sandbox  = false
[task.yes]
executor = "exec"
command  = ["python3", "tasks.py", "yes"]
effect   = "pure"
sandbox  = false
[task.no]
executor = "exec"
command  = ["python3", "tasks.py", "no"]
effect   = "pure"
sandbox  = false
[race.vote]
branches = ["yes", "no"]
select   = "ranked"
[race.careful]
branches = ["no", "yes"]
select   = "ordered"
valid    = [{ branch = "no", pointer = "/sure", equals = true }]

[effects]
allow = ["http://127.0.0.1:38737/hook"]
[task.note]
executor = "exec"
command  = ["python3", "note.py"]
effect   = "pure"
envelope = true
sandbox  = false
[task.noop]
executor = "native"
effect   = "pure"
');
COMMIT;
