PRAGMA application_id = 1179798599;
PRAGMA user_version = 6;
BEGIN TRANSACTION;
CREATE TABLE effects(home BLOB NOT NULL, counter INTEGER NOT NULL, step INTEGER NOT NULL, place INTEGER NOT NULL,
                     tenant TEXT NOT NULL, key TEXT NOT NULL, effect TEXT NOT NULL, is_parked INTEGER NOT NULL,
                     attempts INTEGER NOT NULL, cause TEXT NOT NULL,
                     PRIMARY KEY (home, counter, step, place)) WITHOUT ROWID;
INSERT INTO "effects" VALUES(X'5CC6E86429654C9AA2061BAF09E3CC14',2,1,0,'default','d3fdf68d6c996f5ff9657ea64470af1921c2ca1b7686e55b6ed3441b726d841f-0','{"http":{"body":{"n":"golden","part":0},"method":"POST","url":"http://127.0.0.1:33499/hook"}}',0,0,'');
INSERT INTO "effects" VALUES(X'5CC6E86429654C9AA2061BAF09E3CC14',2,1,1,'default','d3fdf68d6c996f5ff9657ea64470af1921c2ca1b7686e55b6ed3441b726d841f-1','{"http":{"body":{"n":"golden","part":1},"method":"POST","url":"http://127.0.0.1:33499/hook"}}',0,0,'');
CREATE TABLE entries(seq INTEGER PRIMARY KEY, epoch INTEGER NOT NULL, session INTEGER, step INTEGER, leaf TEXT NOT NULL,
                     previous INTEGER);
INSERT INTO "entries" VALUES(0,1,NULL,NULL,'{"cause":"start","epoch":1,"kind":"epoch","public_key":"0c438966275d7f09ff588d24458ddd7c441c4901310bb048ab4005f4189dbe6c","seq":0,"version":"0.1.0"}',NULL);
INSERT INTO "entries" VALUES(1,1,1,0,'{"branch_causes":[null],"branch_latencies_ms":[214.411],"branch_names":["double"],"branch_validities":[true],"decision_hash":"9ea33c42e0c26dfa08c29574c1a201dc57c657a7314b14343eb946ae1df624e9","deterministic_tie_breaker_seed":"579160d95d8400b9","effects_hash":null,"epoch":1,"input_hash":"f73d29760a94fbddfa844041745a66bd5aaad3cb75ad6926a4ace3751baf5df7","kind":"commit","origin":"miss","output_hash":"8d033579de4dbda5cc12cf1a6ec53f3205558c6b8585a9c708b96092147ed1d4","run_id":"5cc6e864-2965-4c9a-a206-1baf09e3cc14/1","seed_chain":"579160d95d8400b9d2380a352c1dfb1b6fdc0dbf1b141a83c3f5f683d89f506c","select":"ranked","seq":1,"step":0,"task":"double","wasted_ms":0,"winning_branch_index":0,"workers":["a353bfc4-6dc3-4aca-b7d1-f79a5dddb02a"],"writes_hash":null}',NULL);
INSERT INTO "entries" VALUES(2,1,1,1,'{"branch_causes":[null],"branch_latencies_ms":[199.371],"branch_names":["double"],"branch_validities":[true],"decision_hash":"f121551d3d6e781040c213cdf9484f5f5fbfe66e4d47fc66a334697149a2f9cd","deterministic_tie_breaker_seed":"d265c9e5e7c7ac30","effects_hash":null,"epoch":1,"input_hash":"b3ca01388c5059469ef46b4565ead6b79d94f571c6789e159cd9fc406bec9fc3","kind":"commit","origin":"miss","output_hash":"b6e42866dc9a434483db24d690c0659548848a151f82640bc686c90e35e28783","run_id":"5cc6e864-2965-4c9a-a206-1baf09e3cc14/1","seed_chain":"d265c9e5e7c7ac3052ca56deff92e567db85e9e71f083bf53a2298b793d9bb96","select":"ranked","seq":2,"step":1,"task":"double","wasted_ms":0,"winning_branch_index":0,"workers":["a4c9a4d9-5155-4b94-999b-c2a14fc88cfc"],"writes_hash":null}',1);
INSERT INTO "entries" VALUES(3,1,1,2,'{"branch_causes":[null],"branch_latencies_ms":[213.684],"branch_names":["double"],"branch_validities":[true],"decision_hash":"1626b82181d4c62e1c742232f7c060241cda555ae7ed99642084b02e1908e078","deterministic_tie_breaker_seed":"52c2e02392d0386d","effects_hash":null,"epoch":1,"input_hash":"7b0ac3ae6c45783dcaa79908573e5f3447e085de738f0829c3b107e1b0d04d58","kind":"commit","origin":"miss","output_hash":"2962dbae0cf25105a9fc4329d64916e93a8af7e54e645e89e7acf1567fad7702","run_id":"5cc6e864-2965-4c9a-a206-1baf09e3cc14/1","seed_chain":"52c2e02392d0386d498e67a0f185c856b96c762fe5a7b65d09cb6ae940e95ea0","select":"ranked","seq":3,"step":2,"task":"double","wasted_ms":0,"winning_branch_index":0,"workers":["a4c9a4d9-5155-4b94-999b-c2a14fc88cfc"],"writes_hash":null}',2);
INSERT INTO "entries" VALUES(4,1,1,3,'{"branch_causes":[null],"branch_latencies_ms":[359.423],"branch_names":["double"],"branch_validities":[true],"decision_hash":"6b84d2559633f8853b56ce53190aa01b7c6d4262464486b96fe2978b88e45e7a","deterministic_tie_breaker_seed":"aca041ade27afa97","effects_hash":null,"epoch":1,"input_hash":"18fcc8a5c43a3d54c9fbef586013c6e0c778cd716da13d4fa28242e81e439148","kind":"commit","origin":"miss","output_hash":"4b3410227ee7dcfcc13c3fe77efb7092aacd88172a3cde123288538c9c39d1d2","run_id":"5cc6e864-2965-4c9a-a206-1baf09e3cc14/1","seed_chain":"aca041ade27afa97df17354b065141e0158b94dcaeeeb9a5dde5fd8f37ae96e2","select":"ranked","seq":4,"step":3,"task":"double","wasted_ms":0,"winning_branch_index":0,"workers":["a4c9a4d9-5155-4b94-999b-c2a14fc88cfc"],"writes_hash":null}',3);
INSERT INTO "entries" VALUES(5,1,1,4,'{"branch_causes":[null],"branch_latencies_ms":[363.245],"branch_names":["double"],"branch_validities":[true],"decision_hash":"1db5fe275d27a5630ed8dd6dc102e236ec92ffd81180bba6dba873e99b7c78f4","deterministic_tie_breaker_seed":"5c372dad8bf57613","effects_hash":null,"epoch":1,"input_hash":"bcfee899d2cba40caaa0f069cc1d2c964af459770f1d2b4798c47527038769b5","kind":"commit","origin":"miss","output_hash":"7a7a723ba93effc049cf513cf1d9a9ece65cacff1d703beb4e0a27736f22d52d","run_id":"5cc6e864-2965-4c9a-a206-1baf09e3cc14/1","seed_chain":"5c372dad8bf57613905ccc192d2667eb7a99a942ad3245ab4089c3f01f087771","select":"ranked","seq":5,"step":4,"task":"double","wasted_ms":0,"winning_branch_index":0,"workers":["a4c9a4d9-5155-4b94-999b-c2a14fc88cfc"],"writes_hash":null}',4);
INSERT INTO "entries" VALUES(6,1,1,5,'{"branch_causes":[null],"branch_latencies_ms":[272.373],"branch_names":["double"],"branch_validities":[true],"decision_hash":"18837b7333bfa40534460e8d9753a1baa765cb08c8cb3d78f35feec72c9dbc49","deterministic_tie_breaker_seed":"9ab2bc82c9316e75","effects_hash":null,"epoch":1,"input_hash":"8ca1bbde544b45a4ad963b27dea25dfb29ef124ebcc3426ec4e1e8914362df13","kind":"commit","origin":"miss","output_hash":"4f8c92b68860536f5ab885262416d5c8697960ec9c53a4feaa00ca0289e211c0","run_id":"5cc6e864-2965-4c9a-a206-1baf09e3cc14/1","seed_chain":"9ab2bc82c9316e7539c052e830cb2fa49df871224e2f0950ff5d8a197253b02f","select":"ranked","seq":6,"step":5,"task":"double","wasted_ms":0,"winning_branch_index":0,"workers":["5cc6e864-2965-4c9a-a206-1baf09e3cc14"],"writes_hash":null}',5);
INSERT INTO "entries" VALUES(7,1,2,0,'{"branch_causes":[null],"branch_latencies_ms":[261.537],"branch_names":["double"],"branch_validities":[true],"decision_hash":"15f8ab2d981ad49d809fbdaad521a28f21a29b42d64a293518017dba9457046b","deterministic_tie_breaker_seed":"07187e604e42b1ac","effects_hash":null,"epoch":1,"input_hash":"b3ca01388c5059469ef46b4565ead6b79d94f571c6789e159cd9fc406bec9fc3","kind":"commit","origin":"miss","output_hash":"a5e1ba4abde00bfe4d33d8c2103680cfea54738202646043f5bf5a50ed005aff","run_id":"a353bfc4-6dc3-4aca-b7d1-f79a5dddb02a/1","seed_chain":"07187e604e42b1ac949f86cdfd0d1572bf9bc7ae4594d90282c0d31e367d2f47","select":"ranked","seq":7,"step":0,"task":"double","wasted_ms":0,"winning_branch_index":0,"workers":["5cc6e864-2965-4c9a-a206-1baf09e3cc14"],"writes_hash":null}',NULL);
INSERT INTO "entries" VALUES(8,1,2,1,'{"branch_causes":[null,null],"branch_latencies_ms":[249.546,null],"branch_names":["yes","no"],"branch_validities":[true,null],"decision_hash":"6870ec199cf0f4bc7966c7b4750ca5ba9541d5b554253bf143f5258e45d49267","deterministic_tie_breaker_seed":"8469d9337d5fed89","effects_hash":null,"epoch":1,"input_hash":"8eb9110f65700e12f572bd564f3a4e8358453a15a6b91cf2e63774d1ba988e1d","kind":"commit","origin":"miss","output_hash":"692eec04f8c9b22b177239f6d34fbdf6221db31e07cd9c4cd33a1b5dcc1a62c9","run_id":"a353bfc4-6dc3-4aca-b7d1-f79a5dddb02a/1","seed_chain":"8469d9337d5fed890b796eedabcfb8754fe359f02c855021a7327cc8442e01d8","select":"ranked","seq":8,"step":1,"task":"vote","wasted_ms":250.212,"winning_branch_index":0,"workers":["5cc6e864-2965-4c9a-a206-1baf09e3cc14","a353bfc4-6dc3-4aca-b7d1-f79a5dddb02a"],"writes_hash":null}',7);
INSERT INTO "entries" VALUES(9,1,2,2,'{"branch_causes":["a `valid` condition of race careful does not hold",null],"branch_latencies_ms":[266.267,272.29],"branch_names":["no","yes"],"branch_validities":[false,true],"decision_hash":"528e5248c39f105d1832124979ba40fa93fd57494a2263cb372883e0fd78e956","deterministic_tie_breaker_seed":"ae12f4ebb2e64dde","effects_hash":null,"epoch":1,"input_hash":"36175a176bfaf420828995d392953886866215b3e6a66908ef62cd103bc737df","kind":"commit","origin":"miss","output_hash":"692eec04f8c9b22b177239f6d34fbdf6221db31e07cd9c4cd33a1b5dcc1a62c9","run_id":"a353bfc4-6dc3-4aca-b7d1-f79a5dddb02a/1","seed_chain":"ae12f4ebb2e64dde56e295bd0331bc87e9828fe8c8b6bacd1654323ef655ddec","select":"ordered","seq":9,"step":2,"task":"careful","wasted_ms":266.267,"winning_branch_index":1,"workers":["5cc6e864-2965-4c9a-a206-1baf09e3cc14","a353bfc4-6dc3-4aca-b7d1-f79a5dddb02a"],"writes_hash":null}',8);
INSERT INTO "entries" VALUES(10,1,2,3,'{"branch_causes":[null],"branch_latencies_ms":[207.796],"branch_names":["append"],"branch_validities":[true],"decision_hash":"7afdaa2fa8d5d27339755c13a7bdbb5e9fdf7777b527c935fef2a1263aabc388","deterministic_tie_breaker_seed":"e74eec7ffad3e084","effects_hash":null,"epoch":1,"input_hash":"a1ebda3714edce3823c290d315640a03a73e1c84365870e9a4de68293e37fadd","kind":"commit","origin":"miss","output_hash":"74234e98afe7498fb5daf1f36ac2d78acc339464f950703b8c019892f982b90b","run_id":"a353bfc4-6dc3-4aca-b7d1-f79a5dddb02a/1","seed_chain":"e74eec7ffad3e0840dfdfe20664fce1c3bdcbd99c1dd7f1fe14ad2ebd48db122","select":"ranked","seq":10,"step":3,"task":"append","wasted_ms":0,"winning_branch_index":0,"workers":["a353bfc4-6dc3-4aca-b7d1-f79a5dddb02a"],"writes_hash":null}',9);
INSERT INTO "entries" VALUES(11,1,2,4,'{"branch_causes":[null],"branch_latencies_ms":[297.626],"branch_names":["look_up"],"branch_validities":[true],"decision_hash":"9606f2e4b961b95ccb8e86a7c1550e331e85284fabf7bed510f4ab65db91b78f","deterministic_tie_breaker_seed":"1b405dc8933bb2c0","effects_hash":null,"epoch":1,"input_hash":"11d0e9455d6e9b6b2de47543b900ae85d85ceccfc88652c127a86a2e65df7371","kind":"commit","origin":"miss","output_hash":"b7fd587d6da1189fbf961d5162cf21ec7dfe27ffaf951e133f5048624b0eec4d","run_id":"a353bfc4-6dc3-4aca-b7d1-f79a5dddb02a/1","seed_chain":"1b405dc8933bb2c0dd629141f803b49fa57dd1293891300100c97c50f375fada","select":"ranked","seq":11,"step":4,"task":"look_up","wasted_ms":0,"winning_branch_index":0,"workers":["a353bfc4-6dc3-4aca-b7d1-f79a5dddb02a"],"writes_hash":null}',10);
INSERT INTO "entries" VALUES(12,1,2,5,'{"branch_causes":["exit code 1: KeyError: ''n''"],"branch_latencies_ms":[294.062],"branch_names":["double"],"branch_validities":[false],"decision_hash":"679d6a928005c897285997a2cc674eb14eaa06605d58cd618e249af0857ba2ff","deterministic_tie_breaker_seed":"b52430582a6bb7b3","effects_hash":null,"epoch":1,"input_hash":"178cf67969c997ed78bb5aa36caa2aa11cd68d19d321d43505cd2999774b7250","kind":"commit","origin":"miss","output_hash":null,"run_id":"a353bfc4-6dc3-4aca-b7d1-f79a5dddb02a/1","seed_chain":"b52430582a6bb7b3944f3e8081144e455746ec4d65b5ac7df2d8e77d2a2aaa34","select":"ranked","seq":12,"step":5,"task":"double","wasted_ms":0,"winning_branch_index":-1,"workers":["5cc6e864-2965-4c9a-a206-1baf09e3cc14"],"writes_hash":null}',11);
INSERT INTO "entries" VALUES(13,1,3,0,'{"branch_causes":[null],"branch_latencies_ms":[225.931],"branch_names":["double"],"branch_validities":[true],"decision_hash":"66192c653f2f8ed2037896489ef8d2db2f9c56d9db009a1aca057464a8a373f0","deterministic_tie_breaker_seed":"cbeb54f9f79af6f7","effects_hash":null,"epoch":1,"input_hash":"cbd7487c9bd134a2dd73094122ee77aec96f8bfcbb0d6d7bd8ad6373395b7725","kind":"commit","origin":"miss","output_hash":"bd6a5fd15324f1185af78cae38f4daa3ad1385caaf4d2fcaf560e421ce8471ea","run_id":"5cc6e864-2965-4c9a-a206-1baf09e3cc14/2","seed_chain":"cbeb54f9f79af6f7b2a7ecc8af8fc5d2d93714b68cfe99c278b1bd06ccbf480b","select":"ranked","seq":13,"step":0,"task":"double","wasted_ms":0,"winning_branch_index":0,"workers":["5cc6e864-2965-4c9a-a206-1baf09e3cc14"],"writes_hash":null}',NULL);
INSERT INTO "entries" VALUES(14,1,3,1,'{"branch_causes":[null],"branch_latencies_ms":[272.101],"branch_names":["note"],"branch_validities":[true],"decision_hash":"c1f93eec0f7a2707eabf98a1c086ef4aadddbd471a4bbb99f682c7a372400da9","deterministic_tie_breaker_seed":"d3fdf68d6c996f5f","effects_hash":"84445c7b68f131d81fee07f845057d938258d63022c3dcb8b91c476bddc0c4ab","epoch":1,"input_hash":"25884e43e5decab827f17e872d861e873dbaeba27633d149016968b98f93e32c","kind":"commit","origin":"miss","output_hash":"20d4c5326635b870e810cc32a6d6472bfc69ddfd44a0250a23541ff9deff167b","run_id":"5cc6e864-2965-4c9a-a206-1baf09e3cc14/2","seed_chain":"d3fdf68d6c996f5ff9657ea64470af1921c2ca1b7686e55b6ed3441b726d841f","select":"ranked","seq":14,"step":1,"task":"note","wasted_ms":0,"winning_branch_index":0,"workers":["a353bfc4-6dc3-4aca-b7d1-f79a5dddb02a"],"writes_hash":null}',13);
INSERT INTO "entries" VALUES(15,1,4,0,'{"branch_causes":[null],"branch_latencies_ms":[260.14],"branch_names":["double"],"branch_validities":[true],"decision_hash":"1a0d573070e620da0e30de3ddd0bb3a5dd75f7690e5264594f89a3583e1ebb80","deterministic_tie_breaker_seed":"e322cbc18d79f7f0","effects_hash":null,"epoch":1,"input_hash":"bcfee899d2cba40caaa0f069cc1d2c964af459770f1d2b4798c47527038769b5","kind":"commit","origin":"miss","output_hash":"9b669dda8a615a5522d97d1dff2b378f2aadbdc569401ea9208169a6b04a36a8","run_id":"a353bfc4-6dc3-4aca-b7d1-f79a5dddb02a/2","seed_chain":"e322cbc18d79f7f0e83d5abeb1ac5c3f457626b7ac527e5b565f2585889c7461","select":"ranked","seq":15,"step":0,"task":"double","wasted_ms":0,"winning_branch_index":0,"workers":["5cc6e864-2965-4c9a-a206-1baf09e3cc14"],"writes_hash":null}',NULL);
CREATE TABLE history(number INTEGER PRIMARY KEY, tenant TEXT NOT NULL, name TEXT NOT NULL, at INTEGER NOT NULL,
                     steps INTEGER NOT NULL, bytes INTEGER NOT NULL, hash BLOB NOT NULL, text TEXT NOT NULL,
                     UNIQUE (tenant, name));
INSERT INTO "history" VALUES(1,'default','taught',15,1,98,X'5A1A2702A7966DE10B6C0BEC6F8E5F96665E7D5B721B250338B9FD119DD87EC5','{"context":"","session":"taught","steps":[{"input":{"n":1},"output":{"twice":2},"task":"double"}]}');
CREATE TABLE intents(session INTEGER NOT NULL, step INTEGER NOT NULL, call TEXT NOT NULL, is_write INTEGER NOT NULL,
                     key TEXT NOT NULL, request_hash BLOB NOT NULL, first_step INTEGER NOT NULL,
                     step_count INTEGER NOT NULL, PRIMARY KEY (session, step)) WITHOUT ROWID;
INSERT INTO "intents" VALUES(4,1,'{"input":{"gate":"golden","name":"slow"},"task":"append"}',1,'write-key',X'CA8E0CC8B12D4BAAEC416F32A87486610D6215F1B3377A94C73E3D328BBA2351',0,2);
CREATE TABLE keys(scope TEXT NOT NULL, key TEXT NOT NULL, request_hash BLOB NOT NULL, session INTEGER NOT NULL,
                  first_step INTEGER NOT NULL, step_count INTEGER NOT NULL, PRIMARY KEY (scope, key)) WITHOUT ROWID;
INSERT INTO "keys" VALUES('5cc6e864-2965-4c9a-a206-1baf09e3cc14/2','open-key',X'BBA0A78D1426C174A0E7696154348AC2F00CC3F40FB080B44AC6134EF6F066AB',3,0,1);
INSERT INTO "keys" VALUES('a353bfc4-6dc3-4aca-b7d1-f79a5dddb02a/1','key-0',X'DFBE1F82CF34CE546CEE6E4E43C537B8FD2E2D54AD0564DE986791930A9A590E',2,0,1);
INSERT INTO "keys" VALUES('a353bfc4-6dc3-4aca-b7d1-f79a5dddb02a/1','key-1',X'C1C2E6DBA7921AA39961D1547A7CBBB3422F5C722D3C910FB6D72B4599921ACC',2,1,1);
INSERT INTO "keys" VALUES('a353bfc4-6dc3-4aca-b7d1-f79a5dddb02a/1','key-2',X'70A780D915A494769E75459D063C53DB0D791009C5E33BA9957929B8A4840B41',2,2,1);
INSERT INTO "keys" VALUES('a353bfc4-6dc3-4aca-b7d1-f79a5dddb02a/1','key-3',X'844E42FDC4E8ACE70F400581FB9210757BDC5FF8D7D49E91D33C416F447FBB68',2,3,1);
INSERT INTO "keys" VALUES('a353bfc4-6dc3-4aca-b7d1-f79a5dddb02a/1','key-4',X'DF85A1FD0D3BB57B763171AD3E0CF599105B14AAABA1D5E6D0D37E8F05E750D1',2,4,1);
INSERT INTO "keys" VALUES('a353bfc4-6dc3-4aca-b7d1-f79a5dddb02a/1','key-5',X'B15BD094A4883B8B6ACBAAD7696B45B750882DA597214E672A16B3204AA508A3',2,5,1);
INSERT INTO "keys" VALUES('a353bfc4-6dc3-4aca-b7d1-f79a5dddb02a/2','write-key',X'CA8E0CC8B12D4BAAEC416F32A87486610D6215F1B3377A94C73E3D328BBA2351',4,0,2);
INSERT INTO "keys" VALUES('open:default','opening-key',X'6B70F877EEB9825C445E2906DD6438983FF8F1C4C0D99D25C87E992AD3EF496D',3,0,0);
CREATE TABLE marks(worker BLOB PRIMARY KEY, mark INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO "marks" VALUES(X'5CC6E86429654C9AA2061BAF09E3CC14',1024);
INSERT INTO "marks" VALUES(X'A353BFC46DC34ACAB7D1F79A5DDDB02A',1024);
INSERT INTO "marks" VALUES(X'A4C9A4D951554B94999BC2A14FC88CFC',1024);
CREATE TABLE meta(one INTEGER PRIMARY KEY CHECK (one = 1), epoch INTEGER NOT NULL, size INTEGER, root BLOB,
                  head_epoch INTEGER, signed_head TEXT);
INSERT INTO "meta" VALUES(1,1,16,X'AA70D9450FBE3395BAFDD62780C2CBA42381BE6B724F9446C15F69937947261E',1,'{"epoch":1,"public_key":"0c438966275d7f09ff588d24458ddd7c441c4901310bb048ab4005f4189dbe6c","root":"e751c15be0b596589452c02522f90201677e348fffee622ff1bd5ea454478367","signature":"8c729bc45f868a27d7e7cf6a7febbb0386731ac7cd691b030afdafee5ac406507882b3c2fe4e40a0244e243b8eeed89d45343cc289d4afee775789d76b5ee408","size":15}');
CREATE TABLE owners(worker BLOB PRIMARY KEY, node TEXT NOT NULL, name TEXT NOT NULL) WITHOUT ROWID;
INSERT INTO "owners" VALUES(X'5CC6E86429654C9AA2061BAF09E3CC14','421e36f5f1cc886d','node-1');
INSERT INTO "owners" VALUES(X'A353BFC46DC34ACAB7D1F79A5DDDB02A','407d2e4cf04002f6','node-2');
INSERT INTO "owners" VALUES(X'A4C9A4D951554B94999BC2A14FC88CFC','c9e69deaa4c2af74','node-3');
CREATE TABLE payloads(seq INTEGER PRIMARY KEY, call TEXT NOT NULL, output TEXT NOT NULL, writes TEXT NOT NULL,
                      effects TEXT NOT NULL, story TEXT NOT NULL DEFAULT '');
INSERT INTO "payloads" VALUES(1,'{"input":{"n":0},"task":"double"}','{"twice":0}','','','');
INSERT INTO "payloads" VALUES(2,'{"input":{"n":1},"task":"double"}','{"twice":3}','','','');
INSERT INTO "payloads" VALUES(3,'{"input":{"n":2},"task":"double"}','{"twice":6}','','','');
INSERT INTO "payloads" VALUES(4,'{"input":{"n":3},"task":"double"}','{"twice":9}','','','');
INSERT INTO "payloads" VALUES(5,'{"input":{"n":4},"task":"double"}','{"twice":12}','','','');
INSERT INTO "payloads" VALUES(6,'{"input":{"n":5},"task":"double"}','{"twice":10}','','','');
INSERT INTO "payloads" VALUES(7,'{"input":{"n":1},"task":"double"}','{"twice":2}','','','');
INSERT INTO "payloads" VALUES(8,'{"input":{"n":2},"task":"vote"}','{"by":"yes","sure":false}','','','');
INSERT INTO "payloads" VALUES(9,'{"input":{"n":3},"task":"careful"}','{"by":"yes","sure":false}','','','');
INSERT INTO "payloads" VALUES(10,'{"input":{"name":"golden"},"task":"append"}','null','','','');
INSERT INTO "payloads" VALUES(11,'{"input":{"name":"golden"},"task":"look_up"}','{"value":"golden"}','','','');
INSERT INTO "payloads" VALUES(12,'{"input":{"m":"wrong"},"task":"double"}','','','','');
INSERT INTO "payloads" VALUES(13,'{"input":{"n":7},"task":"double"}','{"twice":14}','','','{"opened_with":{"kept":1},"state_hash":"a1dc39abc83572e468fc473955717e2669073f5244bf98673ea0f046637306b4"}');
INSERT INTO "payloads" VALUES(14,'{"input":{"n":"golden"},"task":"note"}','{"noted":"golden"}','','[{"http":{"body":{"n":"golden","part":0},"method":"POST","url":"http://127.0.0.1:33499/hook"}},{"http":{"body":{"n":"golden","part":1},"method":"POST","url":"http://127.0.0.1:33499/hook"}}]','{"state_hash":"a1dc39abc83572e468fc473955717e2669073f5244bf98673ea0f046637306b4"}');
INSERT INTO "payloads" VALUES(15,'{"input":{"n":4},"task":"double"}','{"twice":8}','','','');
CREATE TABLE quarantined(node TEXT PRIMARY KEY) WITHOUT ROWID;
INSERT INTO "quarantined" VALUES('c9e69deaa4c2af74');
CREATE TABLE session_texts(session INTEGER NOT NULL, step INTEGER NOT NULL, place INTEGER NOT NULL,
                           text TEXT NOT NULL, PRIMARY KEY (session, step, place)) WITHOUT ROWID;
INSERT INTO "session_texts" VALUES(2,0,0,'before step 0');
INSERT INTO "session_texts" VALUES(3,0,0,'before step 0');
INSERT INTO "session_texts" VALUES(3,1,1,'before step 1');
INSERT INTO "session_texts" VALUES(3,2,2,'behind all steps');
CREATE TABLE sessions(id INTEGER PRIMARY KEY, home BLOB NOT NULL, counter INTEGER NOT NULL, tenant TEXT, context TEXT,
                      mode INTEGER, world TEXT, next_step INTEGER, chain BLOB, state TEXT, ended INTEGER,
                      list_state TEXT NOT NULL DEFAULT '', latest INTEGER, last_step INTEGER,
                      UNIQUE (home, counter));
INSERT INTO "sessions" VALUES(1,X'5CC6E86429654C9AA2061BAF09E3CC14',1,'default','',1,'',6,X'9AB2BC82C9316E7539C052E830CB2FA49DF871224E2F0950FF5D8A197253B02F','{}',1,'',6,5);
INSERT INTO "sessions" VALUES(2,X'A353BFC46DC34ACAB7D1F79A5DDDB02A',1,'default','golden',0,'',6,X'B52430582A6BB7B3944F3E8081144E455746EC4D65B5AC7DF2D8E77D2A2AAA34','{}',1,'',12,5);
INSERT INTO "sessions" VALUES(3,X'5CC6E86429654C9AA2061BAF09E3CC14',2,'default','',0,'',2,X'D3FDF68D6C996F5FF9657EA64470AF1921C2CA1B7686E55B6ED3441B726D841F','{"kept":1}',0,'',14,1);
INSERT INTO "sessions" VALUES(4,X'A353BFC46DC34ACAB7D1F79A5DDDB02A',2,'default','',0,'',1,X'E322CBC18D79F7F0E83D5ABEB1AC5C3F457626B7AC527E5B565F2585889C7461','{}',0,'{}',15,0);
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
allow = ["http://127.0.0.1:33499/hook"]
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
