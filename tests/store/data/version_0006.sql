BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('v3.2.0.a');
CREATE TABLE ecd_alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT ecd_alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "ecd_alembic_version" VALUES('0006');
CREATE TABLE ecd_events (
	id INTEGER NOT NULL, 
	time DOUBLE NOT NULL, 
	study_id INTEGER NOT NULL, 
	trial_id INTEGER, 
	kind VARCHAR(64) NOT NULL, 
	worker VARCHAR(320), 
	detail TEXT NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id) ON DELETE CASCADE
);
INSERT INTO "ecd_events" VALUES(1,1.79585452769500756265e+09,1,7,'released','host:7','{"number": 6, "queued_as": 9, "attempt": 1, "reason": "interrupted: its worker was told to stop"}');
INSERT INTO "ecd_events" VALUES(2,1.79585452776799058913e+09,1,8,'lost','host:7','{"number": 7, "queued_as": 10, "attempt": 1, "reason": "lost: host:7 did not renew its lease in time"}');
INSERT INTO "ecd_events" VALUES(3,1.79585452779901027682e+09,1,11,'given_up','host:7','{"number": 10, "queued_as": null, "attempt": 2, "reason": "lost: host:7 did not renew its lease in time"}');
INSERT INTO "ecd_events" VALUES(4,1.79585452788301706316e+09,1,10,'lost','host:7','{"number": 9, "queued_as": 12, "attempt": 2, "reason": "lost: host:7 did not renew its lease in time"}');
INSERT INTO "ecd_events" VALUES(5,1.79585452788398265838e+09,1,12,'lost','host:4000000','{"number": 11, "queued_as": 13, "attempt": 1, "reason": "lost: the process host:4000000 has ended"}');
CREATE TABLE ecd_leases (
	token INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	trial_id INTEGER NOT NULL, 
	study_id INTEGER NOT NULL, 
	worker_id VARCHAR(64) NOT NULL, 
	expires_at DOUBLE NOT NULL, batch VARCHAR(32), 
	UNIQUE (trial_id), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id) ON DELETE CASCADE, 
	FOREIGN KEY(study_id) REFERENCES studies (study_id) ON DELETE CASCADE, 
	FOREIGN KEY(worker_id) REFERENCES ecd_workers (id)
);
INSERT INTO "ecd_leases" VALUES(9,9,1,'abc39a09c5dd09b0a29dac67f03a2c87',1.79585455765199851997e+09,'e04b84b80468415b902295e197d78690');
CREATE TABLE ecd_runs (
	trial_id INTEGER NOT NULL, 
	study_id INTEGER NOT NULL, 
	label VARCHAR(256), 
	seed BIGINT NOT NULL, 
	source VARCHAR(256) NOT NULL, 
	attempt INTEGER NOT NULL, 
	lost BOOLEAN NOT NULL, 
	reason TEXT, 
	params TEXT NOT NULL, 
	metrics TEXT, 
	curves TEXT, 
	seconds DOUBLE NOT NULL, 
	device VARCHAR(64) NOT NULL, 
	worker VARCHAR(320), history TEXT, energy_kwh DOUBLE, energy_source VARCHAR(64), carbon_kg DOUBLE, 
	PRIMARY KEY (trial_id), 
	CONSTRAINT uq_ecd_runs_label UNIQUE (study_id, label), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id) ON DELETE CASCADE, 
	FOREIGN KEY(study_id) REFERENCES studies (study_id) ON DELETE CASCADE
);
INSERT INTO "ecd_runs" VALUES(1,1,NULL,0,'sampler',1,0,NULL,'{"lr":0.00011279496964540618,"eta":3.0262812247392197,"s":1}','{"final":1.5}','{"metric":[[0,3],[4.0,1.5]],"train_loss":[[3],[0.25]]}',2.0,'cpu','host:7',NULL,0.001,'RAPL',0.0002);
INSERT INTO "ecd_runs" VALUES(2,1,NULL,1,'sampler',1,0,'loss became non-finite (inf) at iteration 37','{"lr":0.11248856891156782,"eta":1.8936963902826711,"s":1}','{}','{"metric":[[0,3],[4.0,2.5]]}',0.0,'cpu','host:7',NULL,NULL,NULL,NULL);
INSERT INTO "ecd_runs" VALUES(3,1,NULL,2,'sampler',1,0,'pruned by median after epoch 2','{"lr":0.43025526010645826,"eta":1.275415967981416,"s":1}','{}','{}',0.0,'cpu','host:7',NULL,NULL,NULL,NULL);
INSERT INTO "ecd_runs" VALUES(4,1,NULL,3,'sampler',1,0,'loss became non-finite (nan) at iteration 0','{"lr":0.024157959292062575,"eta":5.538130889744064,"s":1}','{}','{}',0.0,'cpu','host:7',NULL,NULL,NULL,NULL);
INSERT INTO "ecd_runs" VALUES(5,1,NULL,4,'sampler',1,0,'OutOfMemoryError: CUDA out of memory. Tried to allocate 9 GiB','{"lr":0.00010259462742998668,"eta":4.489992438317138,"s":1}','{}','{}',0.0,'cpu','host:7',NULL,NULL,NULL,NULL);
INSERT INTO "ecd_runs" VALUES(6,1,NULL,5,'sampler',1,0,'ValueError: the gradient is non-finite, says a library','{"lr":0.00016000483102399262,"eta":4.799801991843741,"s":1}','{}','{}',0.0,'cpu','host:7',NULL,NULL,NULL,NULL);
INSERT INTO "ecd_runs" VALUES(7,1,NULL,6,'sampler',1,1,'interrupted: its worker was told to stop','{"lr":0.0007793864698685275,"eta":2.1558437135714836,"s":1}',NULL,NULL,0.0,'','host:7',NULL,NULL,NULL,NULL);
INSERT INTO "ecd_runs" VALUES(8,1,NULL,7,'sampler',1,1,'lost: host:7 did not renew its lease in time','{"lr":0.0009031828291829401,"eta":2.0776773889892683,"s":1}',NULL,NULL,0.0,'','host:7',NULL,NULL,NULL,NULL);
INSERT INTO "ecd_runs" VALUES(9,1,NULL,8,'sampler',1,0,NULL,'{"lr":0.008153060786411169,"eta":2.14075880434281,"s":1}',NULL,NULL,0.0,'','host:7',NULL,NULL,NULL,NULL);
INSERT INTO "ecd_runs" VALUES(10,1,NULL,6,'sampler',2,1,'lost: host:7 did not renew its lease in time','{"lr":0.0007793864698685275,"eta":2.1558437135714836,"s":1}',NULL,NULL,0.0,'','host:7',NULL,NULL,NULL,NULL);
INSERT INTO "ecd_runs" VALUES(11,1,NULL,7,'sampler',2,0,'lost: host:7 did not renew its lease in time; given up after attempt 2','{"lr":0.0009031828291829401,"eta":2.0776773889892683,"s":1}',NULL,NULL,0.0,'','host:7','{"lost": 1}',NULL,NULL,NULL);
INSERT INTO "ecd_runs" VALUES(12,1,NULL,11,'sampler',1,1,'lost: the process host:4000000 has ended','{"lr":0.017728356495689202,"eta":5.550833526308891,"s":1}',NULL,NULL,0.0,'','host:4000000',NULL,NULL,NULL,NULL);
INSERT INTO "ecd_runs" VALUES(13,1,NULL,6,'sampler',3,0,NULL,'{"lr":0.0007793864698685275,"eta":2.1558437135714836,"s":1}',NULL,NULL,0.0,'',NULL,'{"lost": 1}',NULL,NULL,NULL);
INSERT INTO "ecd_runs" VALUES(14,1,NULL,11,'sampler',2,0,NULL,'{"lr":0.017728356495689202,"eta":5.550833526308891,"s":1}',NULL,NULL,0.0,'',NULL,'{"lost": 1}',NULL,NULL,NULL);
INSERT INTO "ecd_runs" VALUES(15,2,'best:0',500000,'best',1,0,NULL,'{"lr":0.1,"eta":2.0,"s":1}',NULL,NULL,0.0,'',NULL,NULL,NULL,NULL,NULL);
CREATE TABLE ecd_studies (
	study_id INTEGER NOT NULL, 
	study VARCHAR(256) NOT NULL, 
	optimizer VARCHAR(256) NOT NULL, 
	stage VARCHAR(16) NOT NULL, 
	direction VARCHAR(16) NOT NULL, 
	identity TEXT NOT NULL, 
	fingerprint VARCHAR(64) NOT NULL, 
	target INTEGER, retries TEXT, 
	PRIMARY KEY (study_id), 
	CONSTRAINT uq_ecd_studies_key UNIQUE (study, optimizer, stage), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id) ON DELETE CASCADE
);
INSERT INTO "ecd_studies" VALUES(1,'old','ecdsep','search','minimize','{"budget": {"batch": 1, "steps": 10}, "confirmation": {"steps": null, "task": {}}, "name": "old", "optimizer": {"optimizer": "ecdsep", "space": {"eta": {"high": 6.0, "kind": "Float", "log": false, "low": 1.0, "when": {}}, "lr": {"high": 1.0, "kind": "Float", "log": true, "low": 0.0001, "when": {}}, "s": {"kind": "Fixed", "value": 1, "when": {}}}, "training": {}}, "protocol": "clean", "sampler": {"name": "random"}, "seed": 0, "smoke": "", "task": {"dtype": "float64", "n": 10, "name": "zakharov", "start": "ones"}, "training": {"clip": null, "eval_every": 1, "schedule": {"every": 30, "factor": 0.1, "final": 0.0, "name": "constant", "warmup": 0.0}}}','328ec2b93f9dc2431cca9fe7ec6eb3944beaa65eef5572b9d3eb887aa127f8c7',20,'{"lost": 1, "out_of_memory": 0, "non_finite": 0, "exception": 1}');
INSERT INTO "ecd_studies" VALUES(2,'old','ecdsep','confirm','minimize','{"budget": {"batch": 1, "steps": 10}, "confirmation": {"steps": null, "task": {}}, "name": "old", "optimizer": {"optimizer": "ecdsep", "space": {"eta": {"high": 6.0, "kind": "Float", "log": false, "low": 1.0, "when": {}}, "lr": {"high": 1.0, "kind": "Float", "log": true, "low": 0.0001, "when": {}}, "s": {"kind": "Fixed", "value": 1, "when": {}}}, "training": {}}, "protocol": "clean", "sampler": {"name": "random"}, "seed": 0, "smoke": "", "task": {"dtype": "float64", "n": 10, "name": "zakharov", "start": "ones"}, "training": {"clip": null, "eval_every": 1, "schedule": {"every": 30, "factor": 0.1, "final": 0.0, "name": "constant", "warmup": 0.0}}}','328ec2b93f9dc2431cca9fe7ec6eb3944beaa65eef5572b9d3eb887aa127f8c7',NULL,'{"lost": 1, "out_of_memory": 0, "non_finite": 0, "exception": 1}');
CREATE TABLE ecd_workers (
	id VARCHAR(64) NOT NULL, 
	host VARCHAR(256) NOT NULL, 
	boot_id VARCHAR(128) NOT NULL, 
	pid INTEGER NOT NULL, 
	process_start BIGINT NOT NULL, 
	versions TEXT NOT NULL, 
	started_at DOUBLE NOT NULL, 
	seen_at DOUBLE NOT NULL, device VARCHAR(256), 
	PRIMARY KEY (id)
);
INSERT INTO "ecd_workers" VALUES('abc39a09c5dd09b0a29dac67f03a2c87','host','',7,0,'{"python": "3.11"}',1.79585452763699150082e+09,1.79585452777599692344e+09,'cpu');
INSERT INTO "ecd_workers" VALUES('3e5095eb2ddc1a70db5f5cfe4553bc07','host','boot',4000000,1,'{}',1.79585452784399080277e+09,1.79585452784399080277e+09,'');
CREATE TABLE studies (
	study_id INTEGER NOT NULL, 
	study_name VARCHAR(512) NOT NULL, 
	PRIMARY KEY (study_id)
);
INSERT INTO "studies" VALUES(1,'old/ecdsep');
INSERT INTO "studies" VALUES(2,'old/ecdsep/confirm');
CREATE TABLE study_directions (
	study_direction_id INTEGER NOT NULL, 
	direction VARCHAR(8) NOT NULL, 
	study_id INTEGER NOT NULL, 
	objective INTEGER NOT NULL, 
	PRIMARY KEY (study_direction_id), 
	UNIQUE (study_id, objective), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
INSERT INTO "study_directions" VALUES(1,'MINIMIZE',1,0);
INSERT INTO "study_directions" VALUES(2,'MINIMIZE',2,0);
CREATE TABLE study_system_attributes (
	study_system_attribute_id INTEGER NOT NULL, 
	study_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (study_system_attribute_id), 
	UNIQUE (study_id, "key"), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
INSERT INTO "study_system_attributes" VALUES(1,1,'study:metric_names','["minimum of F over the iterates"]');
INSERT INTO "study_system_attributes" VALUES(2,2,'study:metric_names','["minimum of F over the iterates"]');
CREATE TABLE study_user_attributes (
	study_user_attribute_id INTEGER NOT NULL, 
	study_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (study_user_attribute_id), 
	UNIQUE (study_id, "key"), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
INSERT INTO "study_user_attributes" VALUES(1,1,'study','"old"');
INSERT INTO "study_user_attributes" VALUES(2,1,'optimizer','"ecdsep"');
INSERT INTO "study_user_attributes" VALUES(3,1,'stage','"search"');
INSERT INTO "study_user_attributes" VALUES(4,1,'task','"zakharov"');
INSERT INTO "study_user_attributes" VALUES(5,1,'fingerprint','"328ec2b93f9dc2431cca9fe7ec6eb3944beaa65eef5572b9d3eb887aa127f8c7"');
INSERT INTO "study_user_attributes" VALUES(6,2,'study','"old"');
INSERT INTO "study_user_attributes" VALUES(7,2,'optimizer','"ecdsep"');
INSERT INTO "study_user_attributes" VALUES(8,2,'stage','"confirm"');
INSERT INTO "study_user_attributes" VALUES(9,2,'task','"zakharov"');
INSERT INTO "study_user_attributes" VALUES(10,2,'fingerprint','"328ec2b93f9dc2431cca9fe7ec6eb3944beaa65eef5572b9d3eb887aa127f8c7"');
CREATE TABLE trial_heartbeats (
	trial_heartbeat_id INTEGER NOT NULL, 
	trial_id INTEGER NOT NULL, 
	heartbeat DATETIME NOT NULL, 
	PRIMARY KEY (trial_heartbeat_id), 
	UNIQUE (trial_id), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
CREATE TABLE trial_intermediate_values (
	trial_intermediate_value_id INTEGER NOT NULL, 
	trial_id INTEGER NOT NULL, 
	step INTEGER NOT NULL, 
	intermediate_value FLOAT, 
	intermediate_value_type VARCHAR(7) NOT NULL, 
	PRIMARY KEY (trial_intermediate_value_id), 
	UNIQUE (trial_id, step), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_intermediate_values" VALUES(1,2,3,2.5,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(2,3,0,3.5,'FINITE');
CREATE TABLE trial_params (
	param_id INTEGER NOT NULL, 
	trial_id INTEGER, 
	param_name VARCHAR(512), 
	param_value FLOAT, 
	distribution_json TEXT, 
	PRIMARY KEY (param_id), 
	UNIQUE (trial_id, param_name), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_params" VALUES(1,1,'lr',1.12794969645406181865e-04,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0001, "high": 1.0, "log": true}}');
INSERT INTO "trial_params" VALUES(2,1,'eta',3.02628122473921967738e+00,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 1.0, "high": 6.0, "log": false}}');
INSERT INTO "trial_params" VALUES(3,2,'lr',1.12488568911567818342e-01,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0001, "high": 1.0, "log": true}}');
INSERT INTO "trial_params" VALUES(4,2,'eta',1.89369639028267111591e+00,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 1.0, "high": 6.0, "log": false}}');
INSERT INTO "trial_params" VALUES(5,3,'lr',4.30255260106458259361e-01,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0001, "high": 1.0, "log": true}}');
INSERT INTO "trial_params" VALUES(6,3,'eta',1.2754159679814160988e+00,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 1.0, "high": 6.0, "log": false}}');
INSERT INTO "trial_params" VALUES(7,4,'lr',2.41579592920625751961e-02,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0001, "high": 1.0, "log": true}}');
INSERT INTO "trial_params" VALUES(8,4,'eta',5.53813088974406397824e+00,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 1.0, "high": 6.0, "log": false}}');
INSERT INTO "trial_params" VALUES(9,5,'lr',1.02594627429986682957e-04,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0001, "high": 1.0, "log": true}}');
INSERT INTO "trial_params" VALUES(10,5,'eta',4.48999243831713812369e+00,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 1.0, "high": 6.0, "log": false}}');
INSERT INTO "trial_params" VALUES(11,6,'lr',1.60004831023992616194e-04,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0001, "high": 1.0, "log": true}}');
INSERT INTO "trial_params" VALUES(12,6,'eta',4.79980199184374090037e+00,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 1.0, "high": 6.0, "log": false}}');
INSERT INTO "trial_params" VALUES(13,7,'lr',7.79386469868527517398e-04,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0001, "high": 1.0, "log": true}}');
INSERT INTO "trial_params" VALUES(14,7,'eta',2.15584371357148363301e+00,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 1.0, "high": 6.0, "log": false}}');
INSERT INTO "trial_params" VALUES(15,8,'lr',9.0318282918294006973e-04,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0001, "high": 1.0, "log": true}}');
INSERT INTO "trial_params" VALUES(16,8,'eta',2.07767738898926834778e+00,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 1.0, "high": 6.0, "log": false}}');
INSERT INTO "trial_params" VALUES(17,9,'lr',8.15306078641116899197e-03,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0001, "high": 1.0, "log": true}}');
INSERT INTO "trial_params" VALUES(18,9,'eta',2.14075880434281,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 1.0, "high": 6.0, "log": false}}');
INSERT INTO "trial_params" VALUES(19,10,'lr',7.79386469868527517398e-04,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0001, "high": 1.0, "log": true}}');
INSERT INTO "trial_params" VALUES(20,10,'eta',2.15584371357148363301e+00,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 1.0, "high": 6.0, "log": false}}');
INSERT INTO "trial_params" VALUES(21,11,'lr',9.0318282918294006973e-04,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0001, "high": 1.0, "log": true}}');
INSERT INTO "trial_params" VALUES(22,11,'eta',2.07767738898926834778e+00,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 1.0, "high": 6.0, "log": false}}');
INSERT INTO "trial_params" VALUES(23,12,'lr',1.77283564956892021602e-02,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0001, "high": 1.0, "log": true}}');
INSERT INTO "trial_params" VALUES(24,12,'eta',5.55083352630889059753e+00,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 1.0, "high": 6.0, "log": false}}');
INSERT INTO "trial_params" VALUES(25,13,'lr',7.79386469868527517398e-04,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0001, "high": 1.0, "log": true}}');
INSERT INTO "trial_params" VALUES(26,13,'eta',2.15584371357148363301e+00,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 1.0, "high": 6.0, "log": false}}');
INSERT INTO "trial_params" VALUES(27,14,'lr',1.77283564956892021602e-02,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0001, "high": 1.0, "log": true}}');
INSERT INTO "trial_params" VALUES(28,14,'eta',5.55083352630889059753e+00,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 1.0, "high": 6.0, "log": false}}');
INSERT INTO "trial_params" VALUES(29,15,'lr',0.1,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.1, "high": 0.1, "log": false}}');
INSERT INTO "trial_params" VALUES(30,15,'eta',2.0,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 2.0, "high": 2.0, "log": false}}');
INSERT INTO "trial_params" VALUES(31,15,'s',1.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 1, "high": 1}}');
CREATE TABLE trial_system_attributes (
	trial_system_attribute_id INTEGER NOT NULL, 
	trial_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (trial_system_attribute_id), 
	UNIQUE (trial_id, "key"), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_system_attributes" VALUES(1,10,'failed_trial','6');
INSERT INTO "trial_system_attributes" VALUES(2,10,'retry_history','[6]');
INSERT INTO "trial_system_attributes" VALUES(3,11,'failed_trial','7');
INSERT INTO "trial_system_attributes" VALUES(4,11,'retry_history','[7]');
INSERT INTO "trial_system_attributes" VALUES(5,13,'failed_trial','6');
INSERT INTO "trial_system_attributes" VALUES(6,13,'retry_history','[6, 9]');
INSERT INTO "trial_system_attributes" VALUES(7,14,'failed_trial','11');
INSERT INTO "trial_system_attributes" VALUES(8,14,'retry_history','[11]');
CREATE TABLE trial_user_attributes (
	trial_user_attribute_id INTEGER NOT NULL, 
	trial_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (trial_user_attribute_id), 
	UNIQUE (trial_id, "key"), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_user_attributes" VALUES(1,1,'seed','0');
INSERT INTO "trial_user_attributes" VALUES(2,2,'seed','1');
INSERT INTO "trial_user_attributes" VALUES(3,3,'seed','2');
INSERT INTO "trial_user_attributes" VALUES(4,4,'seed','3');
INSERT INTO "trial_user_attributes" VALUES(5,5,'seed','4');
INSERT INTO "trial_user_attributes" VALUES(6,6,'seed','5');
INSERT INTO "trial_user_attributes" VALUES(7,7,'seed','6');
INSERT INTO "trial_user_attributes" VALUES(8,8,'seed','7');
INSERT INTO "trial_user_attributes" VALUES(9,9,'seed','8');
INSERT INTO "trial_user_attributes" VALUES(10,2,'reason','"loss became non-finite (inf) at iteration 37"');
INSERT INTO "trial_user_attributes" VALUES(11,3,'reason','"pruned by median after epoch 2"');
INSERT INTO "trial_user_attributes" VALUES(12,4,'reason','"loss became non-finite (nan) at iteration 0"');
INSERT INTO "trial_user_attributes" VALUES(13,5,'reason','"OutOfMemoryError: CUDA out of memory. Tried to allocate 9 GiB"');
INSERT INTO "trial_user_attributes" VALUES(14,6,'reason','"ValueError: the gradient is non-finite, says a library"');
INSERT INTO "trial_user_attributes" VALUES(15,7,'reason','"interrupted: its worker was told to stop"');
INSERT INTO "trial_user_attributes" VALUES(16,10,'seed','6');
INSERT INTO "trial_user_attributes" VALUES(17,8,'reason','"lost: host:7 did not renew its lease in time"');
INSERT INTO "trial_user_attributes" VALUES(18,11,'seed','7');
INSERT INTO "trial_user_attributes" VALUES(19,11,'reason','"lost: host:7 did not renew its lease in time; given up after attempt 2"');
INSERT INTO "trial_user_attributes" VALUES(20,12,'seed','11');
INSERT INTO "trial_user_attributes" VALUES(21,10,'reason','"lost: host:7 did not renew its lease in time"');
INSERT INTO "trial_user_attributes" VALUES(22,12,'reason','"lost: the process host:4000000 has ended"');
INSERT INTO "trial_user_attributes" VALUES(23,13,'seed','6');
INSERT INTO "trial_user_attributes" VALUES(24,14,'seed','11');
INSERT INTO "trial_user_attributes" VALUES(25,15,'seed','500000');
CREATE TABLE trial_values (
	trial_value_id INTEGER NOT NULL, 
	trial_id INTEGER NOT NULL, 
	objective INTEGER NOT NULL, 
	value FLOAT, 
	value_type VARCHAR(7) NOT NULL, 
	PRIMARY KEY (trial_value_id), 
	UNIQUE (trial_id, objective), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_values" VALUES(1,1,0,1.5,'FINITE');
INSERT INTO "trial_values" VALUES(2,2,0,2.5,'FINITE');
INSERT INTO "trial_values" VALUES(3,3,0,3.5,'FINITE');
CREATE TABLE trials (
	trial_id INTEGER NOT NULL, 
	number INTEGER, 
	study_id INTEGER, 
	state VARCHAR(8) NOT NULL, 
	datetime_start DATETIME, 
	datetime_complete DATETIME, 
	PRIMARY KEY (trial_id), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
INSERT INTO "trials" VALUES(1,0,1,'COMPLETE','2026-11-28 08:28:47.637810','2026-11-28 08:28:47.668759');
INSERT INTO "trials" VALUES(2,1,1,'PRUNED','2026-11-28 08:28:47.637810','2026-11-28 08:28:47.668759');
INSERT INTO "trials" VALUES(3,2,1,'PRUNED','2026-11-28 08:28:47.637810','2026-11-28 08:28:47.668759');
INSERT INTO "trials" VALUES(4,3,1,'FAIL','2026-11-28 08:28:47.637810','2026-11-28 08:28:47.668759');
INSERT INTO "trials" VALUES(5,4,1,'FAIL','2026-11-28 08:28:47.637810','2026-11-28 08:28:47.668759');
INSERT INTO "trials" VALUES(6,5,1,'FAIL','2026-11-28 08:28:47.637810','2026-11-28 08:28:47.668759');
INSERT INTO "trials" VALUES(7,6,1,'FAIL','2026-11-28 08:28:47.637810','2026-11-28 08:28:47.680351');
INSERT INTO "trials" VALUES(8,7,1,'FAIL','2026-11-28 08:28:47.637810','2026-11-28 08:28:47.745682');
INSERT INTO "trials" VALUES(9,8,1,'RUNNING','2026-11-28 08:28:47.637810',NULL);
INSERT INTO "trials" VALUES(10,9,1,'FAIL','2026-11-28 08:28:47.777635','2026-11-28 08:28:47.875012');
INSERT INTO "trials" VALUES(11,10,1,'FAIL','2026-11-28 08:28:47.777635','2026-11-28 08:28:47.790217');
INSERT INTO "trials" VALUES(12,11,1,'FAIL','2026-11-28 08:28:47.844450','2026-11-28 08:28:47.875012');
INSERT INTO "trials" VALUES(13,12,1,'WAITING',NULL,NULL);
INSERT INTO "trials" VALUES(14,13,1,'WAITING',NULL,NULL);
INSERT INTO "trials" VALUES(15,0,2,'WAITING',NULL,NULL);
CREATE TABLE version_info (
	version_info_id INTEGER NOT NULL, 
	schema_version INTEGER, 
	library_version VARCHAR(256), 
	PRIMARY KEY (version_info_id), 
	CHECK (version_info_id=1)
);
INSERT INTO "version_info" VALUES(1,12,'5.0.0');
CREATE UNIQUE INDEX ix_studies_study_name ON studies (study_name);
CREATE INDEX ix_trials_study_id ON trials (study_id);
CREATE INDEX ix_ecd_studies_study ON ecd_studies (study);
CREATE INDEX ix_ecd_leases_study_id ON ecd_leases (study_id);
CREATE INDEX ix_ecd_events_study_id ON ecd_events (study_id);
CREATE TRIGGER ecd_trials_gone AFTER DELETE ON trials BEGIN DELETE FROM ecd_runs WHERE trial_id = OLD.trial_id; DELETE FROM ecd_leases WHERE trial_id = OLD.trial_id; END;
CREATE TRIGGER ecd_studies_gone AFTER DELETE ON studies BEGIN DELETE FROM ecd_studies WHERE study_id = OLD.study_id; DELETE FROM ecd_runs WHERE study_id = OLD.study_id; DELETE FROM ecd_leases WHERE study_id = OLD.study_id; DELETE FROM ecd_events WHERE study_id = OLD.study_id; END;
CREATE INDEX ix_ecd_trials_state ON trials (study_id, state);
CREATE INDEX ix_ecd_trials_number ON trials (study_id, number);
CREATE INDEX ix_ecd_runs_lost ON ecd_runs (study_id) WHERE lost IS 1;
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('ecd_leases',12);
COMMIT;
