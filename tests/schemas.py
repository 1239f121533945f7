"""The shapes of user, session and account tables of well-known applications: names, types and keys, written anew.

A default, a comment, or an index that is not unique does not matter here and is left out.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Schema:
    """A table of an application, the columns that tell its rows apart, and the flags that it needs."""

    application: str
    table: str
    key: tuple[str, ...]
    columns: str
    flags: tuple[str, ...] = ()
    options: str = "DEFAULT CHARSET=utf8mb4"

    def __str__(self) -> str:
        return f"{self.application} {self.table}"


INTEGERS = [
    Schema("WordPress", "wp_users", ("ID",), """
        ID BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY, user_login VARCHAR(60) NOT NULL,
        user_pass VARCHAR(255) NOT NULL, user_nicename VARCHAR(50) NOT NULL, user_email VARCHAR(100) NOT NULL,
        user_url VARCHAR(100) NOT NULL, user_registered DATETIME NOT NULL, user_activation_key VARCHAR(255) NOT NULL,
        user_status INT NOT NULL, display_name VARCHAR(250) NOT NULL"""),
    Schema("WordPress", "wp_usermeta", ("umeta_id",), """
        umeta_id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY, user_id BIGINT UNSIGNED NOT NULL,
        meta_key VARCHAR(255), meta_value LONGTEXT"""),
    Schema("WordPress", "wp_options", ("option_id",), """
        option_id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY, option_name VARCHAR(191) NOT NULL UNIQUE,
        option_value LONGTEXT NOT NULL, autoload VARCHAR(20) NOT NULL"""),
    Schema("WooCommerce", "wp_woocommerce_sessions", ("session_id",), """
        session_id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY, session_key CHAR(32) NOT NULL UNIQUE,
        session_value LONGTEXT NOT NULL, session_expiry BIGINT UNSIGNED NOT NULL"""),
    Schema("Joomla", "jos_users", ("id",), """
        id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, name VARCHAR(400) NOT NULL, username VARCHAR(150) NOT NULL UNIQUE,
        email VARCHAR(100) NOT NULL, password VARCHAR(100) NOT NULL, block TINYINT NOT NULL, sendEmail TINYINT,
        registerDate DATETIME NOT NULL, lastvisitDate DATETIME, params TEXT NOT NULL, resetCount INT NOT NULL,
        requireReset TINYINT NOT NULL, authProvider VARCHAR(100) NOT NULL"""),
    Schema("MediaWiki", "user", ("user_id",), """
        user_id INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY, user_name VARBINARY(255) NOT NULL UNIQUE,
        user_real_name VARBINARY(255) NOT NULL, user_password TINYBLOB NOT NULL, user_newpass_time BINARY(14),
        user_email TINYBLOB NOT NULL, user_touched BINARY(14) NOT NULL, user_token BINARY(32) NOT NULL,
        user_registration BINARY(14), user_editcount INT UNSIGNED, user_is_temp TINYINT(1) NOT NULL""",
        options="DEFAULT CHARSET=binary"),
    Schema("phpBB", "phpbb_users", ("user_id",), """
        user_id INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY, user_type TINYINT NOT NULL,
        group_id MEDIUMINT UNSIGNED NOT NULL, user_permissions MEDIUMTEXT NOT NULL, user_ip VARCHAR(40) NOT NULL,
        user_regdate INT UNSIGNED NOT NULL, username VARCHAR(255) NOT NULL, username_clean VARCHAR(255) NOT NULL UNIQUE,
        user_email VARCHAR(100) NOT NULL,
        user_warnings TINYINT NOT NULL, user_timezone VARCHAR(100) NOT NULL, user_sig MEDIUMTEXT NOT NULL""",
        options="DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_bin"),
    Schema("Magento", "customer_entity", ("entity_id",), """
        entity_id INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY, website_id SMALLINT UNSIGNED,
        email VARCHAR(255), group_id SMALLINT UNSIGNED NOT NULL, increment_id VARCHAR(50), store_id SMALLINT UNSIGNED,
        created_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, updated_at TIMESTAMP NULL, is_active SMALLINT UNSIGNED
        NOT NULL, firstname VARCHAR(255), lastname VARCHAR(255), dob DATE, password_hash VARCHAR(128),
        gender SMALLINT UNSIGNED, failures_num SMALLINT, lock_expires TIMESTAMP NULL, UNIQUE (email, website_id)"""),
    Schema("Magento", "customer_visitor", ("visitor_id",), """
        visitor_id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY, customer_id INT, session_id VARCHAR(1),
        created_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, last_visit_at TIMESTAMP NULL"""),
    Schema("Django", "auth_user", ("id",), """
        id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, password VARCHAR(128) NOT NULL, last_login DATETIME(6),
        is_superuser TINYINT(1) NOT NULL, username VARCHAR(150) NOT NULL UNIQUE, first_name VARCHAR(150) NOT NULL,
        last_name VARCHAR(150) NOT NULL, email VARCHAR(254) NOT NULL, is_staff TINYINT(1) NOT NULL,
        is_active TINYINT(1) NOT NULL, date_joined DATETIME(6) NOT NULL"""),
    Schema("Rails", "sessions", ("id",), """
        id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, session_id VARCHAR(255) NOT NULL UNIQUE, data TEXT,
        created_at DATETIME(6) NOT NULL, updated_at DATETIME(6) NOT NULL"""),
    Schema("Redmine", "users", ("id",), """
        id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, login VARCHAR(255) NOT NULL, hashed_password VARCHAR(40) NOT NULL,
        firstname VARCHAR(30) NOT NULL, admin TINYINT(1) NOT NULL, status INT NOT NULL, last_login_on DATETIME,
        language VARCHAR(5), type VARCHAR(255), mail_notification VARCHAR(255) NOT NULL, salt VARCHAR(64),
        must_change_passwd TINYINT(1) NOT NULL, twofa_totp_last_used_at INT"""),
    Schema("Laravel", "users", ("id",), """
        id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY, name VARCHAR(255) NOT NULL, email VARCHAR(255) NOT NULL
        UNIQUE, email_verified_at TIMESTAMP NULL, password VARCHAR(255) NOT NULL, remember_token VARCHAR(100),
        created_at TIMESTAMP NULL, updated_at TIMESTAMP NULL""",
        options="DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci"),
    Schema("Nextcloud", "oc_authtoken", ("id",), """
        id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY, uid VARCHAR(64) NOT NULL, login_name VARCHAR(255) NOT
        NULL, password LONGTEXT, name LONGTEXT NOT NULL, token VARCHAR(200) NOT NULL UNIQUE, type SMALLINT UNSIGNED,
        remember SMALLINT UNSIGNED, last_activity INT UNSIGNED, scope LONGTEXT, expires INT UNSIGNED,
        password_invalid TINYINT(1)""", options="DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin"),
    Schema("Moodle", "mdl_user", ("id",), """
        id BIGINT(10) NOT NULL AUTO_INCREMENT PRIMARY KEY, auth VARCHAR(20) NOT NULL, confirmed TINYINT(1) NOT NULL,
        mnethostid BIGINT(10) NOT NULL, username VARCHAR(100) NOT NULL, password VARCHAR(255) NOT NULL,
        email VARCHAR(100) NOT NULL, city VARCHAR(120) NOT NULL, timezone VARCHAR(100) NOT NULL,
        lastaccess BIGINT(10) NOT NULL, description LONGTEXT, UNIQUE (mnethostid, username)"""),
    Schema("Moodle", "mdl_sessions", ("id",), """
        id BIGINT(10) NOT NULL AUTO_INCREMENT PRIMARY KEY, state BIGINT(10) NOT NULL, sid VARCHAR(128) NOT NULL UNIQUE,
        userid BIGINT(10) NOT NULL, sessdata LONGTEXT, timecreated BIGINT(10) NOT NULL,
        timemodified BIGINT(10) NOT NULL,        firstip VARCHAR(45), lastip VARCHAR(45)"""),
    Schema("PrestaShop", "ps_customer", ("id_customer",), """
        id_customer INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY, id_shop INT UNSIGNED NOT NULL, id_lang INT
        UNSIGNED, company VARCHAR(255), siret VARCHAR(14), firstname VARCHAR(255) NOT NULL, email VARCHAR(255) NOT NULL,
        passwd VARCHAR(255) NOT NULL, last_passwd_gen TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, birthday DATE,
        newsletter TINYINT UNSIGNED NOT NULL, outstanding_allow_amount DECIMAL(20,6) NOT NULL,
        secure_key VARCHAR(32) NOT NULL, note TEXT, active TINYINT UNSIGNED NOT NULL, date_add DATETIME NOT NULL"""),
    Schema("OpenCart", "oc_customer", ("customer_id",), """
        customer_id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, customer_group_id INT NOT NULL, firstname VARCHAR(32) NOT
        NULL, email VARCHAR(96) NOT NULL, password VARCHAR(255) NOT NULL, custom_field TEXT NOT NULL, newsletter
        TINYINT(1) NOT NULL, ip VARCHAR(40) NOT NULL, status TINYINT(1) NOT NULL, token TEXT NOT NULL,
        date_added DATETIME NOT NULL""", options="ENGINE=MyISAM DEFAULT CHARSET=utf8mb4"),
    Schema("Discourse", "users", ("id",), """
        id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, username VARCHAR(60) NOT NULL UNIQUE, username_lower VARCHAR(60) NOT
        NULL UNIQUE, name VARCHAR(255), seen_notification_id BIGINT NOT NULL, last_posted_at DATETIME(6), active
        TINYINT(1) NOT NULL, trust_level INT NOT NULL, previous_visit_at DATETIME(6), ip_address VARBINARY(16),
        flag_level INT NOT NULL, secure_identifier VARCHAR(255), settings JSON"""),
]  # fmt: skip

STRINGS = [
    Schema("Drupal", "sessions", ("sid",), """
        uid INT UNSIGNED NOT NULL, sid VARCHAR(128) CHARACTER SET ascii NOT NULL PRIMARY KEY, hostname VARCHAR(128)
        CHARACTER SET ascii NOT NULL, timestamp INT NOT NULL, session LONGBLOB"""),
    Schema("phpBB", "phpbb_sessions", ("session_id",), """
        session_id CHAR(32) NOT NULL PRIMARY KEY, session_user_id INT UNSIGNED NOT NULL, session_last_visit INT UNSIGNED
        NOT NULL, session_ip VARCHAR(40) NOT NULL, session_browser VARCHAR(150) NOT NULL, session_page VARCHAR(255) NOT
        NULL, session_viewonline TINYINT UNSIGNED NOT NULL, session_admin TINYINT UNSIGNED NOT NULL""",
        options="DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_bin"),
    Schema("Magento", "session", ("session_id",), """
        session_id VARCHAR(255) NOT NULL PRIMARY KEY, session_expires INT UNSIGNED NOT NULL,
        session_data MEDIUMBLOB NOT NULL"""),
    Schema("Django", "django_session", ("session_key",), """
        session_key VARCHAR(40) NOT NULL PRIMARY KEY, session_data LONGTEXT NOT NULL,
        expire_date DATETIME(6) NOT NULL"""),
    Schema("Laravel", "sessions", ("id",), """
        id VARCHAR(255) NOT NULL PRIMARY KEY, user_id BIGINT UNSIGNED, ip_address VARCHAR(45), user_agent TEXT,
        payload LONGTEXT NOT NULL, last_activity INT NOT NULL""",
        options="DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci"),
    Schema("Laravel", "cache", ("key",), """
        `key` VARCHAR(255) NOT NULL PRIMARY KEY, value MEDIUMTEXT NOT NULL, expiration INT NOT NULL""",
        options="DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci"),
    Schema("Laravel", "password_reset_tokens", ("email",), """
        email VARCHAR(255) NOT NULL PRIMARY KEY, token VARCHAR(255) NOT NULL, created_at TIMESTAMP NULL""",
        options="DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci"),
    Schema("Nextcloud", "oc_accounts", ("uid",), "uid VARCHAR(64) NOT NULL PRIMARY KEY, data LONGTEXT NOT NULL",
        options="DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin"),
    Schema("Matomo", "matomo_session", ("id",), """
        id VARCHAR(191) NOT NULL PRIMARY KEY, modified INT, lifetime INT, data MEDIUMTEXT"""),
    Schema("Matomo", "matomo_user", ("login",), """
        login VARCHAR(100) NOT NULL PRIMARY KEY, password VARCHAR(255) NOT NULL, email VARCHAR(100) NOT NULL UNIQUE,
        twofactor_secret VARCHAR(40) NOT NULL, superuser_access TINYINT UNSIGNED NOT NULL, date_registered TIMESTAMP
        NULL, ts_password_modified TIMESTAMP NULL, idchange_last_viewed INT UNSIGNED"""),
    Schema("Keycloak", "USER_ENTITY", ("ID",), """
        ID VARCHAR(36) NOT NULL PRIMARY KEY, EMAIL VARCHAR(255), EMAIL_CONSTRAINT VARCHAR(255), EMAIL_VERIFIED BIT(1)
        NOT NULL, ENABLED BIT(1) NOT NULL, FIRST_NAME VARCHAR(255), REALM_ID VARCHAR(255), USERNAME VARCHAR(255),
        CREATED_TIMESTAMP BIGINT, NOT_BEFORE INT NOT NULL, UNIQUE (REALM_ID, EMAIL_CONSTRAINT)""",
        options="DEFAULT CHARSET=utf8mb3"),
    Schema("Spring Session", "SPRING_SESSION", ("PRIMARY_ID",), """
        PRIMARY_ID CHAR(36) NOT NULL PRIMARY KEY, SESSION_ID CHAR(36) NOT NULL UNIQUE, CREATION_TIME BIGINT NOT NULL,
        LAST_ACCESS_TIME BIGINT NOT NULL, MAX_INACTIVE_INTERVAL INT NOT NULL, EXPIRY_TIME BIGINT NOT NULL,
        PRINCIPAL_NAME VARCHAR(100)""", options="ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4"),
    Schema("Roundcube", "session", ("sess_id",), """
        sess_id VARCHAR(128) NOT NULL PRIMARY KEY, changed DATETIME NOT NULL, ip VARCHAR(40) NOT NULL,
        vars MEDIUMTEXT NOT NULL""", options="ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4"),
    Schema("Zabbix", "sessions", ("sessionid",), """
        sessionid VARCHAR(32) NOT NULL PRIMARY KEY, userid BIGINT UNSIGNED NOT NULL, lastaccess INT NOT NULL,
        status INT NOT NULL, secret VARCHAR(32) NOT NULL""", options="DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin"),
    Schema("OpenCart", "oc_session", ("session_id",), """
        session_id VARCHAR(32) NOT NULL PRIMARY KEY, data TEXT NOT NULL, expire DATETIME NOT NULL""",
        options="ENGINE=MyISAM DEFAULT CHARSET=utf8mb3"),
    Schema("Mattermost", "Users", ("Id",), """
        Id VARCHAR(26) NOT NULL PRIMARY KEY, CreateAt BIGINT, DeleteAt BIGINT, Username VARCHAR(64) UNIQUE,
        Email VARCHAR(128) UNIQUE, EmailVerified TINYINT(1), Roles TEXT, NotifyProps JSON, Props JSON,
        LastPasswordUpdate BIGINT, FailedAttempts INT, Timezone JSON"""),
    Schema("Ghost", "users", ("id",), """
        id VARCHAR(24) NOT NULL PRIMARY KEY, name VARCHAR(191) NOT NULL, slug VARCHAR(191) NOT NULL UNIQUE, password
        VARCHAR(60) NOT NULL, email VARCHAR(191) NOT NULL UNIQUE, bio TEXT, status VARCHAR(50) NOT NULL, last_seen
        DATETIME, comment_notifications TINYINT(1) NOT NULL, created_at DATETIME NOT NULL"""),
    Schema("SMF", "smf_sessions", ("session_id",), """
        session_id CHAR(128) NOT NULL PRIMARY KEY, last_update INT UNSIGNED NOT NULL, data TEXT NOT NULL""",
        options="DEFAULT CHARSET=latin1"),
]  # fmt: skip

BINARIES = [
    Schema("Symfony", "sessions", ("sess_id",), """
        sess_id VARBINARY(128) NOT NULL PRIMARY KEY, sess_data BLOB NOT NULL, sess_lifetime INT UNSIGNED NOT NULL,
        sess_time INT UNSIGNED NOT NULL""", options="DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin"),
    Schema("Joomla", "jos_session", ("session_id",), """
        session_id VARBINARY(192) NOT NULL PRIMARY KEY, client_id TINYINT UNSIGNED, guest TINYINT UNSIGNED, time INT NOT
        NULL, data MEDIUMTEXT, userid INT, username VARCHAR(150)"""),
    Schema("MediaWiki", "objectcache", ("keyname",), """
        keyname VARBINARY(255) NOT NULL PRIMARY KEY, value MEDIUMBLOB, exptime BINARY(14) NOT NULL, modtoken VARCHAR(17)
        NOT NULL, flags INT UNSIGNED""", options="DEFAULT CHARSET=binary"),
    Schema("XenForo", "xf_session", ("session_id",), """
        session_id VARBINARY(32) NOT NULL PRIMARY KEY, session_data MEDIUMBLOB NOT NULL, expiry_date INT UNSIGNED NOT
        NULL"""),
    Schema("Shopware", "customer", ("id",), """
        id BINARY(16) NOT NULL PRIMARY KEY, auto_increment BIGINT UNSIGNED NOT NULL AUTO_INCREMENT UNIQUE, email
        VARCHAR(254) NOT NULL, customer_number VARCHAR(255) NOT NULL, sales_channel_id BINARY(16) NOT NULL, active
        TINYINT(1), order_total_amount DOUBLE, custom_fields JSON, birthday DATE, created_at DATETIME(3) NOT NULL""",
        options="DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci"),
]  # fmt: skip

COMPOSITES = [
    Schema("Drupal", "users_field_data", ("uid", "langcode"), """
        uid INT UNSIGNED NOT NULL, langcode VARCHAR(12) CHARACTER SET ascii NOT NULL, preferred_langcode VARCHAR(12)
        CHARACTER SET ascii, name VARCHAR(60) NOT NULL, pass VARCHAR(255), mail VARCHAR(254), timezone VARCHAR(32),
        status TINYINT, created INT NOT NULL, changed INT, access INT NOT NULL, login INT, init VARCHAR(254),
        default_langcode TINYINT NOT NULL, PRIMARY KEY (uid, langcode), UNIQUE (name, langcode)"""),
    Schema("MediaWiki", "user_properties", ("up_user", "up_property"), """
        up_user INT UNSIGNED NOT NULL, up_property VARBINARY(255) NOT NULL, up_value BLOB,
        PRIMARY KEY (up_user, up_property)""", options="DEFAULT CHARSET=binary"),
    Schema("Spring Session", "SPRING_SESSION_ATTRIBUTES", ("SESSION_PRIMARY_ID", "ATTRIBUTE_NAME"), """
        SESSION_PRIMARY_ID CHAR(36) NOT NULL, ATTRIBUTE_NAME VARCHAR(200) NOT NULL, ATTRIBUTE_BYTES BLOB NOT NULL,
        PRIMARY KEY (SESSION_PRIMARY_ID, ATTRIBUTE_NAME)""", options="ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4"),
    Schema("Nextcloud", "oc_preferences", ("userid", "appid", "configkey"), """
        userid VARCHAR(64) NOT NULL, appid VARCHAR(32) NOT NULL, configkey VARCHAR(64) NOT NULL, configvalue LONGTEXT,
        PRIMARY KEY (userid, appid, configkey)""", options="DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin"),
    Schema("PrestaShop", "ps_cart_product",
        ("id_cart", "id_product", "id_product_attribute", "id_customization", "id_address_delivery"), """
        id_cart INT UNSIGNED NOT NULL, id_product INT UNSIGNED NOT NULL, id_address_delivery INT UNSIGNED NOT NULL,
        id_shop INT UNSIGNED NOT NULL, id_product_attribute INT UNSIGNED NOT NULL, id_customization INT UNSIGNED NOT
        NULL, quantity INT UNSIGNED NOT NULL, date_add DATETIME NOT NULL,
        PRIMARY KEY (id_cart, id_product, id_product_attribute, id_customization, id_address_delivery)"""),
    Schema("Roundcube", "cache", ("user_id", "cache_key"), """
        user_id INT UNSIGNED NOT NULL, cache_key VARCHAR(128) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
        expires DATETIME, data LONGTEXT NOT NULL, PRIMARY KEY (user_id, cache_key)"""),
    Schema("XenForo", "xf_user_follow", ("user_id", "follow_user_id"), """
        user_id INT UNSIGNED NOT NULL, follow_user_id INT UNSIGNED NOT NULL, follow_date INT UNSIGNED NOT NULL,
        PRIMARY KEY (user_id, follow_user_id)"""),
]  # fmt: skip

WITHOUT_A_PRIMARY_KEY = [
    Schema("MediaWiki of old", "objectcache", ("keyname",), """
        keyname VARBINARY(255) NOT NULL, value MEDIUMBLOB, exptime DATETIME, UNIQUE KEY keyname (keyname)""",
        options="DEFAULT CHARSET=binary"),
    Schema("MediaWiki of old", "user_groups", ("ug_user", "ug_group"), """
        ug_user INT UNSIGNED NOT NULL, ug_group VARBINARY(255) NOT NULL,
        UNIQUE KEY ug_user_group (ug_user, ug_group)""",
        options="DEFAULT CHARSET=binary"),
    Schema("Bugzilla", "profile_setting", ("user_id", "setting_name"), """
        user_id MEDIUMINT NOT NULL, setting_name VARCHAR(32) NOT NULL, setting_value VARCHAR(32) NOT NULL,
        UNIQUE KEY profile_setting_value_unique_idx (user_id, setting_name)""", options="DEFAULT CHARSET=utf8mb3"),
    Schema("Rails", "roles_users", ("user_id", "role_id"), """
        user_id BIGINT NOT NULL, role_id BIGINT NOT NULL, UNIQUE KEY index_roles_users (user_id, role_id)"""),
    Schema("Bugzilla", "namedqueries_link_in_footer", ("namedquery_id",), """
        namedquery_id MEDIUMINT NOT NULL, user_id MEDIUMINT NOT NULL, UNIQUE KEY by_id (namedquery_id)""",
        options="DEFAULT CHARSET=utf8mb3"),
    Schema("Laravel of old", "password_resets", ("email",), """
        email VARCHAR(255) NOT NULL, token VARCHAR(255) NOT NULL, created_at TIMESTAMP NULL, KEY by_email (email)""",
        ("--split-by", "email", "--key", "password_resets:{email}")),
    Schema("Zen Cart", "whos_online", ("session_id",), """
        customer_id INT, full_name VARCHAR(64) NOT NULL, session_id VARCHAR(191) NOT NULL, ip_address VARCHAR(45) NOT
        NULL, time_entry VARCHAR(14) NOT NULL, last_page_url VARCHAR(191) NOT NULL, user_agent VARCHAR(255) NOT NULL,
        KEY by_session (session_id)""", ("--split-by", "session_id", "--key", "whos_online:{session_id}")),
]  # fmt: skip

SCHEMAS = [*INTEGERS, *STRINGS, *BINARIES, *COMPOSITES, *WITHOUT_A_PRIMARY_KEY]
