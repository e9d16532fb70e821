//! Fixed key pairs, made for these tests and used nowhere else. Private keys are DER in base64url.

/// RSA, 2048 bits, PKCS #1.
pub(super) const RSA_A: &str = "\
    MIIEogIBAAKCAQEAo8YBi0A1xeCU9RVcL8ghW5LHRrX2pH8FZple9070kmz8-J3F8V6gPH-3ynohTQp4FD_eQErHxj8VvQeM\
    NDkcg0kAb57WRqcmJg0mdvuOssO7uZM-RbmorXeiOtTSASKgjEJ9igcRomUrR2g0Izyxb3rqMV7OqTB4UgBfAyqX95FW7s5z\
    hd6XEH0zjHEZAmxw5w7t4KstCc6Wj-WXJafzCgiTLCyO7HhXyv-aI_yMNTT9l7R0fsUQm5stvbixzA1clMVyDd2NCNKEl8DX\
    c7xjn73mF-QOVUFRrBIOsiftvrEnSztMl0gqTQX1KvAt4yRw2BiIhgYFvp4iXE5wgPM2gQIDAQABAoH_MkcazS9Ro6c3ISFw\
    -SzSbyV0sICe6hBYKPTLGzWX9Ascg3oiJY8uBy7QH2MU98sZ8HvTeJ9GoTRKPunEzPKuFPC81pUfR31FvEceEgP5QOF-oeKI\
    Kr4AXu_y6COCEdBqjZdH0WxF7M5RcPWJQfdBt6pEeBLO0aIgkXfjR4t3xFzSUMLnpEZxCPxgPUH1yVjkK6nK0nsKGtQuvelJ\
    5bG6kGE_Rv-qHnEl74HxF6xH-VqJjbKIBvG5A0OL_aBPoChe1SJ_FxmyL-34p1DA0_uu3Pw0pPrAhbsHPJl63LXSqcAWGb3W\
    GoYBsBhUR4gG2PPAMRc3W8tMPsO7Uy8kRQE1AoGBANHkBOP5mfMe6TlTZjmugqh6tuIwxYJGV7MBSrDNUJ8e8mA8O2H24uWz\
    cRcz-lsCeYCuBzvjVgaUYAWqIEMhrhhRTIgytmd9p5NVfbvin1F_toHad0-U8NjO8MQiLy4cM0rbikdBdJRCvZjhBHRPIOTx\
    UKym1tfwOawe3tPbtcr1AoGBAMfAacfWmajj-I77yiXb-hckHpBBlnwRgxFbo6wfZMLP3COud1gJKqB6p6QVvKg2MYdqbwM-\
    jQqY02nvzRwGwCRdbaQphxOiasIZgvjP0Y8W86qJMolBoqPqYs21dE9TphCyQX3YqXBoKCkCU_2a8KsbHUcOroT7qcFWnIJE\
    KF3dAoGBALVo42E3pvwfR20ozD4muv9rsQ4nIU7MBZjOEQRnMLuXP941sQ2nGc13HtPzNPvcU7AIum_kucHOFIBQ3rmnLpYO\
    DpvZWRZx4JjTV21BHnqOa-woKt852EFL-4VKFoVAEoUs44Na66wJU14DfpoYmlHG0Peo7CCPnQlLVUS_rYzRAoGANI4ohr6s\
    wSXx8NTIk_tzqoEDVZscF9qXrIp63r-HyEXeOrkdh1kqEP0UfHSHpY5Uq7dSK_1aKI6bGUVRpu0Twr2eKlIOyxixlA4YSpSL\
    I2W7iIP-euR9ATma81qplnGAwOXVm2HU-tE8t8V4CcKpTaudoWN4gV6hhE_gb9m08TUCgYEAgzI41LVKusPTQOOsequwd8EQ\
    ngZIXP7VzptHC-jKAKo0nI8IDx-5rk4GvkP9h8wrk7Ehb-p8fLW8p1-PLkvICmhvQDd8xsl5Su8S7XMepbcL92rc77DRWLRf\
    KtwtSzuE0daMuakWEeMIPBLQijOOMDFjGv0hsQCJC9HlYlMdpfU\
    ";

/// Its modulus; the exponent is AQAB.
pub(super) const RSA_A_N: &str = "\
    o8YBi0A1xeCU9RVcL8ghW5LHRrX2pH8FZple9070kmz8-J3F8V6gPH-3ynohTQp4FD_eQErHxj8VvQeMNDkcg0kAb57WRqcm\
    Jg0mdvuOssO7uZM-RbmorXeiOtTSASKgjEJ9igcRomUrR2g0Izyxb3rqMV7OqTB4UgBfAyqX95FW7s5zhd6XEH0zjHEZAmxw\
    5w7t4KstCc6Wj-WXJafzCgiTLCyO7HhXyv-aI_yMNTT9l7R0fsUQm5stvbixzA1clMVyDd2NCNKEl8DXc7xjn73mF-QOVUFR\
    rBIOsiftvrEnSztMl0gqTQX1KvAt4yRw2BiIhgYFvp4iXE5wgPM2gQ\
    ";

/// Its SubjectPublicKeyInfo, base64.
pub(super) const RSA_A_SPKI: &str = "\
    MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAo8YBi0A1xeCU9RVcL8ghW5LHRrX2pH8FZple9070kmz8+J3F8V6g\
    PH+3ynohTQp4FD/eQErHxj8VvQeMNDkcg0kAb57WRqcmJg0mdvuOssO7uZM+RbmorXeiOtTSASKgjEJ9igcRomUrR2g0Izyx\
    b3rqMV7OqTB4UgBfAyqX95FW7s5zhd6XEH0zjHEZAmxw5w7t4KstCc6Wj+WXJafzCgiTLCyO7HhXyv+aI/yMNTT9l7R0fsUQ\
    m5stvbixzA1clMVyDd2NCNKEl8DXc7xjn73mF+QOVUFRrBIOsiftvrEnSztMl0gqTQX1KvAt4yRw2BiIhgYFvp4iXE5wgPM2\
    gQIDAQAB\
    ";

/// RSA, 2048 bits, PKCS #1.
pub(super) const RSA_B: &str = "\
    MIIEoQIBAAKCAQEAosMw1Fa4hhdDjkPqy7lOqy0pWD1vBPWTz8u5uGdZhxIlkr6CRmI2DFvxkQa03HO4XrtUQyDKG00v_DfF\
    fai2q1Yp8JKA38NQ1OBCRNsC3dM6V9NhQ_Uexsq-umw7uEx1NTCMV9l7_ClVun24GEA6r7Ox1eshXVjZZyxg5x0_G1B8MpXO\
    0nDeXi2ShHi4tdHEpX8tvt-9y2Ok1KwKp60Vw29Jgkzy4TUGvLMX7SsIxFHERCchePQHd5lMr5rF6P3HVnrCBMGOETPnXoF_\
    4arS9M2Q6c8fTjQYluXC5bbPULKRSU6HjfCiy9dFfnn3Ipp2NLZnpJeL5toUzBHqeYB_JQIDAQABAoH_MfxjDkejVFTBMGBd\
    xzM9CS5F9Mfw91L_53gKpOjagoXGgGXa2pQ_Yi83oBCSHdxFaenIzFjFmhE9aXozdndlokiSFOdGdqhaovZrFicF_Ei4CwLc\
    DrFjn2PTNzdERsX-IcBt9Kvpmlz4Z5dyqJsgsK5rvM6M0ZZ7uaRfsaKLs1dMz3AFsMNKc2uWLRpRB1tDV9oEK29RO_cOiRjK\
    SNvdSIVh5BKeuXj6bIy3yT21uulAUipvxfs1d2AMNUJfdemmEG97ych3863N8QB5L3J_25QtdZp5J1SuLCAL_hPC6xLKGdac\
    lWkPCMjvcBEXZGExFd_w89M5wMxAvk0P-_qfAoGBANWGUcRW1jDsP-OVLNa-FsLYck02kiHcBH9JWZaCT7LIAm8FmioCti8P\
    3cy2p9ThtcYeTbVjSAcLbc8JsLg96kbJVtJRxcTvJNVMzGzTYuOe5wwSHTYnoW4x7kQZkfNjxkMKPJHaIhiemCugeoftH1hn\
    26hoKcSKKvMJeUTdIT4LAoGBAMMj0geynzpXSnWW3POlOLNAK6Bgc5cXpaLnIL-rXfykbQE0t2-XZejVygb5eHXwq6SwAt0c\
    v1l-vgUZGVlSuXR9eUdUei9Ul1aZOGLQLgY4fRLNpy17Ry5ByFtviGFLDLuyMmu4LNlXpCO_zEcV2k6O628ivv8m7lwjKrge\
    reWPAoGBAL9JzgbvJIQ_ohzoj3ryYMG91uiFcvUSfpTpyXCk3XF07Xk4s5vfQgd3V2UGXeTBMG-ExmkxwF1PR9iq_b6Q-Ujh\
    Jv7UczCybXUJkDoORhFVUffmYnUZm-10ndg0cCRzxjJZAVpI6TLVIc4zvpH3RJWWtZpxdrm0bjW8zv96e0VxAoGAFPJ0akUf\
    WIjkQkkmgLT8qCk8RaP05IQyUJFU7546oZMY7Gc3RbBPzTWd0S_YYXirRCtss0WRuM6lITD3iqIZrEqHyUNlNk1zTWV3KwxD\
    1IEd0_Xlezlfg7SmCEKpth_zRvay-OM1VUNWKEw_ZmYPIB2xYiWtsQAB2DwiKs-IRTsCgYANq364a3A3dC0d2Rix3TWKeEmy\
    coMq6v1kuJ8GMMiGFJB5Vow1PNGyrm31PNXrw7lo5dxZe1NOUqIVnOl56AoTNoe55o3_x98DovRm4SLypLQFznmO5dyIYiVY\
    -8-_HhaJzWGgwhlWoP7yUAmYbUW3nYsC_v_7pdJAS2aGDQQlTg\
    ";

/// Its modulus; the exponent is AQAB.
pub(super) const RSA_B_N: &str = "\
    osMw1Fa4hhdDjkPqy7lOqy0pWD1vBPWTz8u5uGdZhxIlkr6CRmI2DFvxkQa03HO4XrtUQyDKG00v_DfFfai2q1Yp8JKA38NQ\
    1OBCRNsC3dM6V9NhQ_Uexsq-umw7uEx1NTCMV9l7_ClVun24GEA6r7Ox1eshXVjZZyxg5x0_G1B8MpXO0nDeXi2ShHi4tdHE\
    pX8tvt-9y2Ok1KwKp60Vw29Jgkzy4TUGvLMX7SsIxFHERCchePQHd5lMr5rF6P3HVnrCBMGOETPnXoF_4arS9M2Q6c8fTjQY\
    luXC5bbPULKRSU6HjfCiy9dFfnn3Ipp2NLZnpJeL5toUzBHqeYB_JQ\
    ";

/// PKCS #8.
pub(super) const P256: &str = "\
    MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgQZBPck1yh0Zp1NPdDE2jELLO0q5_uarNf8r_HX5oeA2hRANC\
    AARv_5x-3NXIQDprtCUHmT7GwHMH1fvG6JzDGGg0PxxKP75NAkP6Eddl-2CR3i0fvOaZDli57anFNaocP7KGBfjh\
    ";

/// Its point.
pub(super) const P256_X: &str = "\
    b_-cftzVyEA6a7QlB5k-xsBzB9X7xuicwxhoND8cSj8\
    ";

/// Its point.
pub(super) const P256_Y: &str = "\
    vk0CQ_oR12X7YJHeLR-85pkOWLntqcU1qhw_soYF-OE\
    ";

/// Its SubjectPublicKeyInfo, base64.
pub(super) const P256_SPKI: &str = "\
    MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEb/+cftzVyEA6a7QlB5k+xsBzB9X7xuicwxhoND8cSj++TQJD+hHXZftgkd4t\
    H7zmmQ5Yue2pxTWqHD+yhgX44Q==\
    ";

/// PKCS #8.
pub(super) const P384: &str = "\
    MIG2AgEAMBAGByqGSM49AgEGBSuBBAAiBIGeMIGbAgEBBDDdPfnjKFcIf6nTOxzCNOyokr0-Kpfymqu5n-rknNa1r1PzO2_7\
    Baj2BjXU6pRFVjahZANiAAT2UMaVcVM43ReIiyaUaiWd6BMUcxkUa-SOUJbhzaYCVppl2-hyx-64OCOribcn3h08Nsl26z1l\
    _kvHya-2y5eRnCHf1j2OBH7urlkvaaEekFtlp5qRDa3-2uJ-dxr3Rqs\
    ";

/// Its point.
pub(super) const P384_X: &str = "\
    9lDGlXFTON0XiIsmlGolnegTFHMZFGvkjlCW4c2mAlaaZdvocsfuuDgjq4m3J94d\
    ";

/// Its point.
pub(super) const P384_Y: &str = "\
    PDbJdus9Zf5Lx8mvtsuXkZwh39Y9jgR-7q5ZL2mhHpBbZaeakQ2t_trifnca90ar\
    ";

/// Its SubjectPublicKeyInfo, base64.
pub(super) const P384_SPKI: &str = "\
    MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAE9lDGlXFTON0XiIsmlGolnegTFHMZFGvkjlCW4c2mAlaaZdvocsfuuDgjq4m3J94d\
    PDbJdus9Zf5Lx8mvtsuXkZwh39Y9jgR+7q5ZL2mhHpBbZaeakQ2t/trifnca90ar\
    ";

/// PKCS #8.
pub(super) const ED25519: &str = "\
    MC4CAQAwBQYDK2VwBCIEIJP8hbWB6WJz72X-hSwNBaA2sz5mY5qvR6YE1tXaLUUn\
    ";

/// Its point.
pub(super) const ED25519_X: &str = "\
    _ghZTAm_BKOH55LjOzDkK6DqjgXi2i9i12L6BuJRe88\
    ";

/// Its SubjectPublicKeyInfo, base64.
pub(super) const ED25519_SPKI: &str = "\
    MCowBQYDK2VwAyEA/ghZTAm/BKOH55LjOzDkK6DqjgXi2i9i12L6BuJRe88=\
    ";
